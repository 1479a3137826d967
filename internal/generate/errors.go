package generate

import (
	"fmt"
	"strings"
)

// HandEditedError lists generated files that somebody edited, all of them, as paths below the generated folder. Nothing was written.
// The way out: move the change into the definition, or into a file of hive.mini.modules; or overwrite with Options.Force, which
// keeps the edited versions.
type HandEditedError struct {
	Files []string
}

func (e *HandEditedError) Error() string {
	noun := "this generated file was"
	if len(e.Files) > 1 {
		noun = "these generated files were"
	}
	return fmt.Sprintf("%s edited by hand: %s; move the change into the definition or into hive.mini.modules, "+
		"or overwrite with --force, which keeps the edited version beside the new one", noun, strings.Join(e.Files, ", "))
}

// PlaceError says that the generated folder, or something in it, is nothing that can be exchanged as a whole. Nothing was written.
type PlaceError struct {
	Path string // relative to the workspace
	Why  string
	Way  string // what to do
}

func (e *PlaceError) Error() string { return fmt.Sprintf("%s %s: %s", e.Path, e.Why, e.Way) }
