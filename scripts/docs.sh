#!/bin/sh
# Regenerates what is generated in docs/. .ci/run fails when this changes anything.
# On the miniatures always, so that every machine writes the same.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

go run ./cmd/docs
go test -count=1 ./internal/hive -run '^TestEveryRuleIsInTheDocs$' -update >"$place/log" 2>&1 || {
	cat "$place/log" >&2
	exit 1
}

# The picture of the README, by the real program. The lock is made with the miniatures under the names that versions.json has, as if
# they had been fetched.
workspace=$place/static-trio
cp -R examples/static-trio "$workspace"
mv "$workspace/versions.json" "$place/versions.json"
printf '{"nixos":"%s","disko":"%s"}\n' "$root/test/nixpkgs" "$root/test/disko" >"$workspace/versions.json"
picture() { go run ./cmd/nixos-staged-hive -q -p "$workspace" summary --format svg --output "$1"; }
picture "$place/first.svg"
spec() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$place/versions.json"; }
sed "s|\"spec\": \"$root/test/nixpkgs\"|\"spec\": \"$(spec nixos)\"|; s|\"spec\": \"$root/test/disko\"|\"spec\": \"$(spec disko)\"|" \
	"$workspace/versions.lock.json" >"$place/lock"
cp "$place/lock" "$workspace/versions.lock.json"
cp "$place/versions.json" "$workspace/versions.json"
picture docs/summary.svg
