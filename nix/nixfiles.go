// Package nixfiles is the Nix side of the program: options, the evaluation of definitions, and the stages.
//
// One tree serves two uses. The program carries it embedded and lays it out beside the files it generates; people can
// import nix/modules as an ordinary module.
package nixfiles

import "embed"

// FS holds the tree as the generated folder gets it, without this Go file.
//
// all: also takes modules/aliases/_disko_source.nix, whose name an embed would skip.
//
//go:embed eval.nix entry lib all:modules stages
var FS embed.FS
