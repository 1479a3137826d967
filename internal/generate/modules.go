package generate

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"nixos-staged-hive/internal/hive"
)

// ReadModules reads the files of hive.mini.modules of all hosts, by absolute path. A folder is refused: the option takes files
// that stand alone.
func ReadModules(h hive.Hive) (map[string][]byte, error) {
	files := map[string][]byte{}
	var problems []error
	for _, host := range h.Hosts {
		for _, name := range host.Setup.MiniModules {
			if _, read := files[name]; read {
				continue
			}
			content, err := readModule(name)
			if err != nil {
				problems = append(problems, fmt.Errorf("host %q: hive.mini.modules: %w", host.Name, err))
			}
			files[name] = content
		}
	}
	return files, errors.Join(problems...)
}

func readModule(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: each entry is one file that needs nothing but nixpkgs", name)
	}
	return os.ReadFile(filepath.Clean(name))
}

// addModules copies the modules of a host and gives their file names, in the order of the option.
func (t *Tree) addModules(h hive.Host, modules map[string][]byte) (names []string, problems []error) {
	from := map[string]string{}
	for _, source := range h.Setup.MiniModules {
		base := path.Base(source)
		before, seen := from[base]
		content, read := modules[source]
		switch {
		case seen && before == source:
			continue
		case seen:
			problems = append(problems, fmt.Errorf("host %q: hive.mini.modules: %s and %s have the same file name; rename one of them",
				h.Name, before, source))
			continue
		case !read || strings.Trim(base, "./") == "":
			problems = append(problems, fmt.Errorf("host %q: hive.mini.modules: %s was not read", h.Name, source))
			continue
		}
		from[base] = source
		names = append(names, base)
		file := path.Join(h.Name, modulesName, base)
		t.Files[file] = content
		if kind := secretKind(string(content)); kind != "" {
			problems = append(problems, &SecretError{Findings: []Finding{{Host: h.Name, File: file, Kind: kind}}})
		}
	}
	return names, problems
}
