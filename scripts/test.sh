#!/bin/sh
# All tests, with what was skipped and why at the end. Started by `make test`, which has set up what it needs.
# STAGED_HIVE_RACE=1 looks for data races too, where a C compiler is there (some minutes more).
set -eu
cd "$(dirname "$0")/.."

echo "== go vet"
go vet ./...

echo "== gofmt"
# Only what belongs to the product: build results and hidden folders are not ours to judge.
unformatted=$(find . -name '*.go' -not -path './.*' -not -path './build/*' -exec gofmt -l {} +)
if [ -n "$unformatted" ]; then
	echo "not formatted: $unformatted" >&2
	exit 1
fi

race=
if [ "${STAGED_HIVE_RACE:-}" = 1 ]; then
	if command -v gcc >/dev/null 2>&1; then
		race=-race
	else
		echo "no C compiler: data races are not looked for"
	fi
fi

STAGED_HIVE_SKIPS=$(mktemp)
export STAGED_HIVE_SKIPS
trap 'rm -f "$STAGED_HIVE_SKIPS"' EXIT

echo "== go test $race"
echo "miniature nixpkgs: always; real nixpkgs: ${STAGED_HIVE_NIXPKGS:-none}; real disko: ${STAGED_HIVE_DISKO:-none}; real colmena: ${STAGED_HIVE_COLMENA:-none}"
# -count=1: the test cache does not know the inputs of the nix programs. Packages without tests are not worth a line.
status=0
# shellcheck disable=SC2086
go test -count=1 -timeout 40m $race ./... >"$STAGED_HIVE_SKIPS.log" 2>&1 || status=$?
grep -v 'no test files' "$STAGED_HIVE_SKIPS.log" || true
rm -f "$STAGED_HIVE_SKIPS.log"

if [ -s "$STAGED_HIVE_SKIPS" ]; then
	echo "== skipped"
	sed 's/^[^:]*: //' "$STAGED_HIVE_SKIPS" | sort | uniq -c | while read -r count reason; do
		echo "$count tests: $reason"
	done
else
	echo "== nothing was skipped"
fi
exit "$status"
