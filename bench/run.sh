#!/bin/sh
# Measures what bench/README.md claims and prints a table. Started by `make bench`; minutes on a real nixpkgs, which
# STAGED_HIVE_NIXPKGS and STAGED_HIVE_DISKO name, or the folder STAGED_HIVE_TREES.
#   STAGED_HIVE_BENCH=facts,deep,summary,write,install,status   what to measure
#   STAGED_HIVE_BENCH_PAIRS=5 STAGED_HIVE_BENCH_HOSTS=50 STAGED_HIVE_BENCH_MIB=1024
set -eu
cd "$(dirname "$0")/.."

trees=${STAGED_HIVE_TREES:-$HOME/.cache/nixos-staged-hive-trees}
if [ -z "${STAGED_HIVE_NIXPKGS:-}" ] && [ -d "$trees/nixpkgs-24.05" ] && [ -d "$trees/disko-1.8.2" ]; then
	export STAGED_HIVE_NIXPKGS="$trees/nixpkgs-24.05" STAGED_HIVE_DISKO="$trees/disko-1.8.2"
fi

export STAGED_HIVE_BENCH="${STAGED_HIVE_BENCH:-facts,deep,summary,write,install,status}"
# Images of real NixOS can be built without a binary cache from the lab's tree alone.
case "$STAGED_HIVE_BENCH" in
*install*)
	if [ -n "${STAGED_HIVE_NIXPKGS:-}" ] && [ -z "${STAGED_HIVE_LAB_TREE:-}" ]; then
		STAGED_HIVE_LAB_TREE=$(scripts/lab-tree.sh)
		export STAGED_HIVE_LAB_TREE
	fi
	;;
esac
STAGED_HIVE_PROGRAM=$(realpath build/nixos-staged-hive)
STAGED_HIVE_BENCH_TABLE=$(realpath -m build/bench.md)
export STAGED_HIVE_PROGRAM STAGED_HIVE_BENCH_TABLE

{
	echo "$(date +%F), $(nproc) processors, $(awk -F ': ' '/model name/ { print $2; exit }' /proc/cpuinfo), $(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), load $(cut -d ' ' -f 1 /proc/loadavg), $(nix-instantiate --version)"
	echo
	echo '| what | compared with | result | ratio |'
	echo '|---|---|---|---|'
} >"$STAGED_HIVE_BENCH_TABLE"

status=0
go test -count=1 -timeout 60m -v ./bench || status=$?
echo
cat "$STAGED_HIVE_BENCH_TABLE"
if [ -z "${STAGED_HIVE_NIXPKGS:-}" ]; then
	echo "This ran on the miniature nixpkgs: the figures say nothing about NixOS." >&2
fi
exit "$status"
