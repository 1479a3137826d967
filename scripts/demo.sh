#!/bin/sh
# The main job on every example: definitions to checked stage files, and a summary. Started by `make demo`.
# STAGED_HIVE_NIXPKGS and STAGED_HIVE_DISKO, when set, are the trees it runs on; else the miniatures in test/ are.
set -eu

program=$(realpath "$1")
root=$(realpath "$(dirname "$0")/..")
nixpkgs=${STAGED_HIVE_NIXPKGS:-$root/test/nixpkgs}
disko=${STAGED_HIVE_DISKO:-$root/test/disko}

place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

headline() { printf '\n==== %s\n' "$*"; }

show() {
	printf '\n$ nixos-staged-hive %s\n' "$*"
	"$program" -p "$workspace" "$@"
}

# has_definitions is true for a folder with a nixConfigs folder in it, spelled in any of the accepted ways.
has_definitions() {
	for candidate in "$1"/*[nN]ix[cC]onfigs; do
		[ -d "$candidate" ] && return 0
	done
	return 1
}

# store_path prints where a pin of the workspace stands in the store. The next workspace pins that: the same tree is not copied again.
store_path() {
	awk -v start="\"$1\": {" 'index($0, start) { found = 1 } found && /"storePath"/ { gsub(/[",]/, ""); print $2; exit }' \
		"$workspace/versions.lock.json"
}

json_string() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }

pin_nixpkgs=$nixpkgs
pin_disko=$disko
count=0
for example in "$root"/examples/*/; do
	example=${example%/}
	has_definitions "$example" || continue
	count=$((count + 1))
	workspace=$place/$(basename "$example")
	cp -R "$example" "$workspace"
	printf '{"nixos":%s,"disko":%s}\n' "$(json_string "$pin_nixpkgs")" "$(json_string "$pin_disko")" >"$workspace/versions.json"
	headline "examples/$(basename "$example")"
	show generate
	pin_nixpkgs=$(store_path nixos)
	pin_disko=$(store_path disko)
	show check
	show summary
	printf '\nWhat was generated, beside our own modules in generated/_hive:\n'
	(cd "$workspace" && find generated -type f -not -path 'generated/_hive/*' | LC_ALL=C sort | sed 's/^/  /')
done

headline "$count examples done"
if [ "$count" -eq 0 ]; then
	echo "no folder below examples/ has a nixConfigs folder" >&2
	exit 1
fi
if [ -n "${STAGED_HIVE_NIXPKGS:-}" ]; then
	echo "This ran on the nixpkgs at $nixpkgs."
else
	cat <<TEXT
This ran on the miniature nixpkgs in test/nixpkgs, so that it works without fetching NixOS. The miniature proves the plumbing only:
what it evaluates is not NixOS. To see it on real NixOS, with the trees unpacked somewhere:
  STAGED_HIVE_NIXPKGS=/path/to/nixpkgs STAGED_HIVE_DISKO=/path/to/disko make demo
TEXT
fi
echo "To start with your own machines: $(realpath --relative-to="$PWD" "$program" 2>/dev/null || echo "$program") init my-hive"
