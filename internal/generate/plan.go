package generate

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// plan is what a new tree is made of. It is complete: what is not in it is not in the new tree.
type plan struct {
	write   map[string][]byte // new content by path
	keep    map[string]string // path in the old tree -> path in the new one, for everything but folders
	folders []string          // folders of the user's, also empty ones
	report  Report
	changes bool
}

// planner decides path by path; edited and adopted collect what stands where we want to write.
type planner struct {
	tree    Tree
	old     snapshot
	options Options
	plan    *plan
	next    manifest
	gone    map[string]bool // paths of the old tree that are not taken over
	edited  []string        // edited by hand
	adopted []string        // of the original project, replaced without being asked
}

// decide compares what is wanted with what is there. It fails with a HandEditedError unless Options.Force is set.
func decide(tree Tree, old snapshot, o Options) (*plan, error) {
	d := planner{
		tree: tree, old: old, options: o, next: manifest{}, gone: map[string]bool{},
		plan: &plan{write: map[string][]byte{}, keep: map[string]string{}},
	}
	for _, name := range tree.sorted() {
		if d.inScope(name) {
			d.want(name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old.manifest)) {
		d.oldFile(name)
	}
	if len(d.edited) > 0 && !o.Force {
		return nil, &HandEditedError{Files: sortedOnce(d.edited)}
	}
	d.takeOver()
	return d.plan, d.finish()
}

// inScope reports whether the path is this run's to write. With Only the folders of other hosts are left alone.
func (d *planner) inScope(name string) bool {
	host := hostOf(name)
	return host == "" || len(d.options.Only) == 0 || slices.Contains(d.options.Only, host)
}

func (d *planner) want(name string) {
	content := d.tree.Files[name]
	d.next[name] = sum(content)
	if at := d.obstacle(name); at != "" {
		d.edited = append(d.edited, at)
		d.put(name, content)
		return
	}
	there, exists := d.old.entries[name]
	switch wrote, ours := d.old.manifest[name]; {
	case !exists:
	case there.sum == d.next[name]:
		// nobody but the owner and the group may write; somebody else's rights are taken back
		if there.mode.Perm()&0o002 == 0 {
			d.plan.report.Unchanged = append(d.plan.report.Unchanged, name)
			return
		}
	case ours && wrote == there.sum:
	case !ours && there.original && isOriginalPlace(name):
		d.adopted = append(d.adopted, name)
	default:
		d.edited = append(d.edited, name)
	}
	d.put(name, content)
}

func (d *planner) put(name string, content []byte) {
	d.plan.write[name] = content
	d.plan.report.Written = append(d.plan.report.Written, name)
	d.gone[name] = true
}

// obstacle is what stands in the way of a file: something else at its place, or no folder above it.
func (d *planner) obstacle(name string) string {
	for above := path.Dir(name); above != "."; above = path.Dir(above) {
		if e, ok := d.old.entries[above]; ok && !e.mode.IsDir() {
			return above
		}
	}
	if e, ok := d.old.entries[name]; ok && !e.mode.IsRegular() {
		return name
	}
	return ""
}

// isOriginalPlace reports whether the original project wrote a file of this name: hive.nix, NAME/iso.nix, NAME/mini_sys.nix.
func isOriginalPlace(name string) bool {
	base := path.Base(name)
	return name == "hive.nix" || hostOf(name) != "" && (base == "iso.nix" || base == "mini_sys.nix")
}

// oldFile decides about a file that we wrote once. If it is not wanted any more it goes, unless somebody edited it.
func (d *planner) oldFile(name string) {
	_, wanted := d.tree.Files[name]
	stays := len(d.options.Only) > 0 && !d.inScope(name)
	if stays {
		d.next[name] = d.old.manifest[name]
	}
	there, exists := d.old.entries[name]
	if wanted || stays || !exists {
		return
	}
	if there.sum != d.old.manifest[name] {
		d.edited = append(d.edited, name)
	}
	d.gone[name] = true
	d.plan.report.Removed = append(d.plan.report.Removed, name)
}

// takeOver keeps all that is not ours, and moves edited files out of the way.
func (d *planner) takeOver() {
	moved := map[string]string{}
	for _, name := range sortedOnce(append(slices.Clone(d.edited), d.adopted...)) {
		moved[name] = d.backup(name)
		d.plan.report.Backups = append(d.plan.report.Backups, moved[name])
	}
	d.plan.report.HandEdited = sortedOnce(d.edited)
	ours := d.ourFolders()
	for name, e := range d.old.entries {
		place, isMoved := relocate(name, moved)
		switch {
		case e.mode.IsDir() && isMoved, e.mode.IsDir() && !ours[name]:
			d.plan.folders = append(d.plan.folders, place)
		case e.mode.IsDir(), !isMoved && d.gone[name]:
		default:
			d.plan.keep[name] = place
		}
	}
	slices.Sort(d.plan.folders)
	d.noteKept()
}

// ourFolders are those that hold or held files of ours: they are there as long as something is in them.
func (d *planner) ourFolders() map[string]bool {
	ours := map[string]bool{}
	for _, names := range [][]string{d.tree.sorted(), slices.Collect(maps.Keys(d.old.manifest))} {
		for _, name := range names {
			for above := path.Dir(name); above != "."; above = path.Dir(above) {
				ours[above] = true
			}
		}
	}
	return ours
}

// backup is the first free name beside an edited file.
func (d *planner) backup(name string) string {
	return freeName(name, func(candidate string) bool {
		_, there := d.old.entries[candidate]
		_, wanted := d.tree.Files[candidate]
		return there || wanted
	})
}

func freeName(name string, taken func(string) bool) string {
	for n := 1; ; n++ {
		if candidate := fmt.Sprintf("%s.edited-%d", name, n); !taken(candidate) {
			return candidate
		}
	}
}

// relocate gives the new path of an entry, which may be below one that is moved.
func relocate(name string, moved map[string]string) (place string, isMoved bool) {
	for at := name; at != "."; at = path.Dir(at) {
		if to, ok := moved[at]; ok {
			return to + strings.TrimPrefix(name, at), true
		}
	}
	return name, false
}

// noteKept reports folders of hosts that are gone and in which the user has files.
func (d *planner) noteKept() {
	for _, removed := range d.plan.report.Removed {
		host := hostOf(removed)
		if host == "" || slices.Contains(d.tree.Hosts, host) || slices.Contains(d.plan.report.Kept, host) {
			continue
		}
		for _, place := range d.plan.keep {
			if strings.HasPrefix(place, host+"/") {
				d.plan.report.Kept = append(d.plan.report.Kept, host)
				break
			}
		}
	}
}

// finish adds the manifest and finds out whether there is anything to do.
func (d *planner) finish() error {
	stored, err := d.next.encode()
	if err != nil {
		return err
	}
	d.plan.changes = d.plan.report.Changed() || !bytes.Equal(stored, d.old.stored)
	d.plan.write[manifestName] = stored
	return nil
}

// allFolders are the folders of the new tree, each after the one it is in.
func (p *plan) allFolders() []string {
	all := map[string]bool{}
	add := func(name string) {
		for ; name != "."; name = path.Dir(name) {
			all[name] = true
		}
	}
	for name := range p.write {
		add(path.Dir(name))
	}
	for _, place := range p.keep {
		add(path.Dir(place))
	}
	for _, name := range p.folders {
		add(name)
	}
	return slices.Sorted(maps.Keys(all))
}

func sortedOnce(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// modeOf gives a folder the rights it had, never those for everyone to write.
func (s snapshot) modeOf(name string) (fs.FileMode, bool) {
	e, ok := s.entries[name]
	if name == "." {
		e, ok = entry{mode: s.mode}, s.exists
	}
	return e.mode &^ 0o002 &^ fs.ModeType, ok && (e.mode.IsDir() || name == ".")
}
