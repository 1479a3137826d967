#!/usr/bin/env bash
# Prepares the lab (see test/lab/README.md): a nixpkgs tree whose packages come from Debian. Prints its store path, and nothing
# else, on stdout. Run it through scripts/with-nix.sh. What was prepared before is used again and needs no network.
#
#   STAGED_HIVE_NIXPKGS     folder of the real nixpkgs
#   STAGED_HIVE_LAB_CACHE   downloads and garbage collection roots; ~/.cache/nixos-staged-hive-lab
set -euo pipefail
lab=$(cd "$(dirname "$0")/../test/lab" && pwd)
nixpkgs=${STAGED_HIVE_NIXPKGS:?names no nixpkgs: the lab is made from a real one}
cache=${STAGED_HIVE_LAB_CACHE:-$HOME/.cache/nixos-staged-hive-lab}

say() { printf 'lab: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}

check_machine() {
	local program missing=()
	[[ -f $nixpkgs/nixos/lib/eval-config.nix ]] || die "$nixpkgs (STAGED_HIVE_NIXPKGS) is not a nixpkgs"
	# shellcheck source=/dev/null
	[[ $(. /etc/os-release && echo "${VERSION_CODENAME:-}") == bookworm && $(uname -m) == x86_64 ]] ||
		die "its packages are those of Debian 12 on x86_64, from the machine's own apt sources: it can only be prepared there"
	for program in apt-get dpkg-deb gcc nix-store patchelf; do
		command -v "$program" >/dev/null || missing+=("$program")
	done
	[[ -f /usr/lib/x86_64-linux-gnu/libc.a ]] || missing+=(libc.a)
	((${#missing[@]} == 0)) || die "missing: ${missing[*]}. Install them with: apt-get install gcc libc6-dev nix-bin patchelf"
}

# The packages of the table, one line for each set that apt can install together. Debian's newest kernel is what its package
# without a version depends on.
wanted() {
	nix-instantiate --eval --strict --argstr table "$lab/packages.nix" -E '
		{ table }:
		let
			t = import (/. + table) { kernel = "amd64"; };
			debs = v: if builtins.isString v then [ ] else if builtins.isList v then v else v.debs;
			all = builtins.concatMap debs (builtins.attrValues t.packages) ++ t.libraries;
			together = builtins.filter (n: !(builtins.elem n t.conflicting)) all;
			line = builtins.concatStringsSep " ";
		in
		map line ([ together ] ++ map (n: [ n ]) t.conflicting)
	' --json | tr -d '[]"' | tr , '\n'
}

# apt as if nothing were installed, so that it names every package that is needed
apt() {
	apt-get --yes --no-install-recommends -o APT::Sandbox::User=root -o Debug::NoLocking=true \
		-o Dir::State::status="$cache/nothing-installed" -o Dir::Cache::archives="$cache/archives" "$@"
}

# for_each_set COMMAND...: apt with the packages of each set
for_each_set() {
	local packages
	while read -ra packages || ((${#packages[@]})); do
		apt "$@" "${packages[@]}" </dev/null || return
	done <"$cache/wanted.new"
}

download() {
	mkdir -p "$cache/archives/partial"
	: >"$cache/nothing-installed"
	say "downloading the Debian packages that are new"
	for_each_set --quiet --download-only install >&2 && return
	say "apt's lists may be too old: asking for new ones"
	apt update >&2
	for_each_set --quiet --download-only install >&2 || die "the packages could not be downloaded (see above)"
}

# store: puts the downloaded files into the store, and lists them as debs.json
store() {
	local name version architecture file stored entries=()
	rm -rf "$cache/store"
	mkdir "$cache/store"
	for_each_set --simulate install | sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*\[\([a-z0-9]*\)\]).*/\1 \2 \3/p' | sort -u >"$cache/chosen"
	while read -r name version architecture; do
		file=${name}_${version//:/%3a}_$architecture.deb
		# the store allows fewer characters in a name than Debian
		stored=${file//%3a/-}
		stored=${stored//\~/-}
		ln "$cache/archives/$file" "$cache/store/$stored"
		entries+=("$name $stored $(sha256sum "$cache/archives/$file" | cut -d ' ' -f 1)")
	done <"$cache/chosen"
	nix-store --add-fixed sha256 "$cache"/store/* >/dev/null
	rm -r "$cache/store"
	printf '%s\n' "${entries[@]}" | sort | awk '
		BEGIN { printf "{" }
		{ printf "%s\n  \"%s\": { \"file\": \"%s\", \"sha256\": \"%s\" }", (NR > 1 ? "," : ""), $1, $2, $3 }
		END { print "\n}" }' >"$cache/debs.json.new"
}

# The list of wanted packages decides: a new version in Debian is no reason to download again.
ensure_debs() {
	wanted >"$cache/wanted.new"
	if ! cmp -s "$cache/wanted.new" "$cache/wanted" || [[ ! -f $cache/debs.json ]] || ! downloads_stored; then
		download
		store
		mv "$cache/debs.json.new" "$cache/debs.json"
		mv "$cache/wanted.new" "$cache/wanted"
	fi
}

downloads_stored() { [[ -e $cache/roots/downloads ]] && nix-store --check-validity "$(readlink -f "$cache/roots/downloads")" 2>/dev/null; }

# What the tree is made of. Files of nixpkgs by time and size: reading them takes longer than using the tree.
key() {
	{
		find -L "$nixpkgs" -type f -printf '%P %s %T@\n' | sort
		(cd "$lab" && find . -maxdepth 1 -type f ! -name '*.md' ! -name '*.go' | sort | xargs sha256sum && find fixups -type f | sort | xargs sha256sum)
		sha256sum <"$cache/debs.json"
		declare -f make_tree
	} | sha256sum | cut -c 1-32
}

# A copy of nixpkgs with two changes. Its name in the store is that of a pin, so that pinning it copies nothing.
make_tree() {
	local work
	work=$(mktemp -d)
	# shellcheck disable=SC2064  # this folder
	trap "chmod -R u+w '$work'; rm -rf '$work'" EXIT
	say "making the tree"
	cp -rL --no-preserve=mode,ownership "$nixpkgs" "$work/source"
	find -L "$nixpkgs" -type f -perm -u+x -printf '%P\0' | (cd "$work/source" && xargs -0 chmod +x)
	mkdir "$work/source/lab"
	# without the trials, so that a change of those changes no system
	cp "$lab"/*.nix "$lab"/*.sh "$work/source/lab/"
	cp -r "$lab/fixups" "$work/source/lab/"
	cp "$cache/debs.json" "$work/source/lab/debs.json"
	sed -i 's,^  import ./pkgs/top-level/impure.nix$,  { ... }@args: import ./pkgs/top-level/impure.nix ({ stdenvStages = import ./lab/stages.nix; } // args),' "$work/source/default.nix"
	sed -i '0,/^\[$/s,,[\n  ../../lab/module.nix,' "$work/source/nixos/modules/module-list.nix"
	grep -q lab/stages.nix "$work/source/default.nix" || die "default.nix of this nixpkgs has another form than expected"
	grep -q lab/module.nix "$work/source/nixos/modules/module-list.nix" || die "module-list.nix of this nixpkgs has another form than expected"
	nix-store --add "$work/source"
}


check_machine
mkdir -p "$cache/roots"
exec 9>"$cache/lock"
flock 9
ensure_debs
key=$(key)
if [[ $(cat "$cache/key" 2>/dev/null) != "$key" ]] || ! nix-store --check-validity "$(readlink -f "$cache/roots/tree")" 2>/dev/null; then
	rm -f "$cache/key"
	tree=$(make_tree)
	nix-store --realise "$tree" --add-root "$cache/roots/tree" --indirect >/dev/null
	say "building the packages"
	for part in downloads packages; do
		nix-build --keep-going "$tree" -A "lab.$part" --out-link "$cache/roots/$part" >/dev/null
	done
	echo "$key" >"$cache/key"
fi
readlink -f "$cache/roots/tree"
