// Package colmena runs Colmena, the engine that builds, pushes and activates. Nothing else in the program knows its flags, its
// output or its exit codes. Two families are supported: 0.4 (what nixpkgs ships) and 0.5, pre-releases of it included.
//
// Whoever calls it hands over the words of the user; they reach Colmena untouched, after `-f` with the generated hive. [Parse] reads
// just enough of them to tell a truth that Colmena's exit code does not tell. [Find] looks for the program, [Tool.Run] runs it and
// returns an [Outcome] with the exit code of our own program.
//
// # What Colmena does
//
// Seen by running the binaries 0.4.0 and 0.5.0-pre, with a fake ssh, on plain (not flake) hives:
//
//   - `-f` may be given before and after the subcommand; the last one wins without a word. So a second one is refused here.
//   - `--on` that matches nothing, or only hosts with targetHost = null, ends with "No hosts selected" and exit code 0. A name that
//     is no host is passed over in silence when another one matches.
//   - `--on` with a bad glob is a panic (101); with an empty rule ("a,,b") exit code 1 in 0.4 and 2 in 0.5.
//   - `exec` ends with 0 in 0.4 however many hosts failed; with 1 in 0.5. Remote commands get an empty stdin, and options after the
//     first word of the command belong to the command.
//   - one failed host gives 1, as all failed hosts do. The others are finished first. A host that does not evaluate takes the others
//     of its chunk along; by default the chunk is all of them.
//   - `apply` without `--on` on a hive with meta.allowApplyAll = false ends with 1.
//   - apply-local: 5 where /etc/os-release is not NixOS', 2 for a host that is not in the hive or has allowLocalDeployment = false.
//   - 101 is a Rust panic: no hive found, a bad glob, `eval` with a file that does not exist, `--eval-node-limit 0` in 0.4.
//   - Ctrl-C ends it by the signal itself (no exit code of its own).
//   - progress and log go to stderr, results of `eval` to stdout. Every line that comes from a host or a builder carries the prefix
//     "name | "; the summary of failures at the end starts with the log level in the first column, "[ERROR] " in 0.4 and "ERROR " in
//     0.5, and its excerpts of host output are indented by a kind ("  stdout) "). So no host can forge a line of the summary. It is
//     written through the log: 0.5 with RUST_LOG unset shows errors only, and RUST_LOG=off hides failures altogether.
//   - spinners are drawn on stderr if stdout is a terminal; with stderr in a pipe then the progress is lost.
//   - CLICOLOR_FORCE=1 colours output into a pipe.
//   - SSH_CONFIG_FILE becomes `ssh -F`, also inside NIX_SSHOPTS, which is split at blanks.
package colmena
