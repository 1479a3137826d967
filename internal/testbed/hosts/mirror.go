package hosts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// findMirror gives the address of the Debian archive that this machine itself installs from; STAGED_HIVE_DEBIAN_MIRROR names another.
func findMirror(ctx context.Context) (string, error) {
	if mirror := os.Getenv("STAGED_HIVE_DEBIAN_MIRROR"); mirror != "" {
		return mirror, nil
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "", err
	}
	targets, err := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(REPO_URI)|$(RELEASE)|$(COMPONENT)").Output()
	if err != nil {
		return "", fmt.Errorf("ask apt-get for its sources: %w", err)
	}
	return archive(string(release), string(targets))
}

// archive picks the source of the machine's own release. Suites such as bookworm-updates and bookworm-security are in archives that may
// lack the rest, and other people's archives have other components.
func archive(osRelease, targets string) (string, error) {
	codename := ""
	for line := range strings.Lines(osRelease) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			codename = strings.Trim(value, `"'`)
		}
	}
	if !strings.Contains("\n"+osRelease, "\nID=debian") || codename == "" {
		return "", errors.New("this machine is not a release of Debian: name an archive in STAGED_HIVE_DEBIAN_MIRROR")
	}
	for line := range strings.Lines(targets) {
		mirror, rest, _ := strings.Cut(strings.TrimSpace(line), "|")
		if rest == codename+"|main" {
			return mirror, nil
		}
	}
	return "", fmt.Errorf("apt has no source for main of %s: name an archive in STAGED_HIVE_DEBIAN_MIRROR", codename)
}

// aptSettings are the machine's own ways to a mirror, such as a proxy.
func aptSettings(ctx context.Context) ([]byte, error) {
	all, err := exec.CommandContext(ctx, "apt-config", "dump", "Acquire").Output()
	if err != nil {
		return nil, fmt.Errorf("ask apt for its settings: %w", err)
	}
	var kept bytes.Buffer
	for line := range bytes.Lines(all) {
		if bytes.HasPrefix(line, []byte("Acquire::http")) && !bytes.Contains(line, []byte("Proxy-Auto-Detect")) { // https too
			kept.Write(line)
		}
	}
	return kept.Bytes(), nil
}

// pause waits a moment between two looks at something.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(50 * time.Millisecond):
		return nil
	}
}
