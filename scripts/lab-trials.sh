#!/bin/sh
# The lab's trials: real NixOS installed on virtual machines by the program's own commands (see test/lab). Started by `make trials`, with the
# program and the names of the trials, or all; without a name it is one of them, another each day.
# STAGED_HIVE_NIXPKGS and STAGED_HIVE_DISKO are the trees, by default those in ~/.cache/nixos-staged-hive-trees.
set -eu
STAGED_HIVE_PROGRAM=$(realpath "$1")
shift
cd "$(dirname "$0")/.."

trees=${STAGED_HIVE_TREES:-$HOME/.cache/nixos-staged-hive-trees}
: "${STAGED_HIVE_NIXPKGS:=$trees/nixpkgs-24.05}" "${STAGED_HIVE_DISKO:=$trees/disko-1.8.2}"

if [ $# -eq 0 ]; then
	case $(($(date +%s) / 86400 % 2)) in
	0) set -- barn ;;
	1) set -- vault ;;
	esac
	echo "trials: today's is $1 (TRIALS=all runs all of them)" >&2
fi
STAGED_HIVE_LAB=$(echo "$*" | tr ' ' ,)
export STAGED_HIVE_PROGRAM STAGED_HIVE_NIXPKGS STAGED_HIVE_DISKO STAGED_HIVE_LAB
exec go test ./test/lab -count=1 -v -timeout 6h
