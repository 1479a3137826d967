package cli

import "runtime/debug"

// programVersion is the version that Go's tool chain put into this binary: a tag, or the commit it was built from. Empty where it was told not to,
// as in a build that is to be the same everywhere.
func programVersion() string {
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" && build.Main.Version != "(devel)" {
		return build.Main.Version
	}
	return ""
}
