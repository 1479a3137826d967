// Command nixos-staged-hive takes machines from a folder of NixOS definitions to a deployed hive.
package main

import (
	"os"

	"nixos-staged-hive/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args, os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
