#!/bin/sh
# The lab: takes the two machines of examples/rehearsal from blank disks to the deployed hive in virtual machines, on real NixOS that is
# realised from Debian binaries (see test/lab). Started by `make lab`; further arguments are those of `rehearse`.
# STAGED_HIVE_NIXPKGS and STAGED_HIVE_DISKO are the trees, by default those in ~/.cache/nixos-staged-hive-trees.
set -eu
program=$(realpath "$1")
shift
root=$(realpath "$(dirname "$0")/..")

trees=${STAGED_HIVE_TREES:-$HOME/.cache/nixos-staged-hive-trees}
: "${STAGED_HIVE_NIXPKGS:=$trees/nixpkgs-24.05}" "${STAGED_HIVE_DISKO:=$trees/disko-1.8.2}"
export STAGED_HIVE_NIXPKGS STAGED_HIVE_DISKO
for tree in "$STAGED_HIVE_NIXPKGS/nixos/lib/eval-config.nix" "$STAGED_HIVE_DISKO/module.nix"; do
	[ -e "$tree" ] && continue
	echo "The lab needs NixOS 24.05 and disko 1.8.2 as folders, and $tree is not there." >&2
	echo "Unpack both and name them: STAGED_HIVE_NIXPKGS=/path/to/nixpkgs STAGED_HIVE_DISKO=/path/to/disko make lab" >&2
	exit 5
done

start=$(date +%s)
nixpkgs=$("$root/scripts/lab-tree.sh")
echo "lab: the tree is ready after $(($(date +%s) - start)) s: $nixpkgs" >&2

workspace=${STAGED_HIVE_LAB_CACHE:-$HOME/.cache/nixos-staged-hive-lab}/rehearsal
mkdir -p "$workspace"
# What the example has replaces what was there; lock, disks and snapshots stay.
rm -rf "$workspace/nixConfigs" "$workspace/common"
cp -R "$root/examples/rehearsal/nixConfigs" "$root/examples/rehearsal/common" "$workspace/"
pins=$(printf '{"nixos":"%s","disko":"%s"}' "$nixpkgs" "$STAGED_HIVE_DISKO")
if [ "$(cat "$workspace/versions.json" 2>/dev/null)" != "$pins" ]; then
	printf '%s\n' "$pins" >"$workspace/versions.json"
	"$program" -q -p "$workspace" versions update >&2
fi
exec "$program" -p "$workspace" rehearse "$@"
