#!/bin/sh
# Finds out what old generations of the system profile hold, or deletes them; as root. Arguments: estimate or clean, the system that boots next
# where that is known, and NUMBER=PATH for each generation, both without the store's folder: sudo writes its arguments into SUDO_COMMAND, and
# what stands in an environment is alive to Nix. What the host needs is looked at again here, and kept: time has passed since the list was made.
set -u
PATH=/run/current-system/sw/bin:$PATH:/usr/bin:/bin
LC_ALL=C
export PATH LC_ALL
action=$1
next=${2:+/nix/store/$2}
shift 2
profiles=/nix/var/nix/profiles
system=$profiles/system
running=/run/nixos-staged-hive-deploy/record # of a guarded activation that goes on

current=$(readlink -e /run/current-system)
booted=$(readlink -e /run/booted-system)
profile=$(readlink -e "$system")

old=
for generation in "$@"; do
	number=${generation%%=*} path=/nix/store/${generation#*=}
	link=$profiles/system-$number-link
	[ "$(readlink -e "$link")" = "$path" ] || continue # another one, or gone
	[ "$(readlink "$system")" != "system-$number-link" ] || continue
	case $path in "$current" | "$booted") continue ;; esac
	old="$old $number"
done

# is_old LINK
is_old() {
	for number in $old; do
		[ "$1" != "$profiles/system-$number-link" ] || return 0
	done
	return 1
}

estimate() {
	scratch=$(mktemp -d) || exit
	trap 'rm -rf "$scratch"' EXIT
	nix-store --gc --print-roots 2>/dev/null | while IFS= read -r line; do
		link=${line% -> *}
		link=${link#\"} # newer ones (2.34) are quoted
		is_old "${link%\"}" || printf '%s\n' "${line##* -> }"
	done | sort -u >"$scratch/roots"
	xargs nix-store --query --requisites <"$scratch/roots" 2>/dev/null | sort -u >"$scratch/needed"
	{
		nix-store --gc --print-dead 2>/dev/null
		for number in $old; do nix-store --query --requisites "$profiles/system-$number-link"; done
	} | grep '^/nix/store/' | sort -u >"$scratch/may"
	comm -23 "$scratch/may" "$scratch/needed" >"$scratch/maybe"
	# what a killed build left has no size
	xargs nix-store --check-validity --print-invalid <"$scratch/maybe" | sort >"$scratch/invalid"
	comm -23 "$scratch/maybe" "$scratch/invalid" >"$scratch/dead"
	echo "paths $(wc -l <"$scratch/dead")"
	echo "bytes $(xargs nix-store --query --size <"$scratch/dead" 2>/dev/null | awk '{ sum += $1 } END { printf "%.0f", sum }')"
}

# refresh makes the boot loader forget what is gone. Where not all agree on one system it is left alone: its choice would change.
refresh() {
	if [ "$current" != "$profile" ] || [ "${next:-$profile}" != "$profile" ]; then
		echo "note the boot loader keeps its entries: what runs, boots and is the profile's is not the same"
		return
	fi
	if "$system/bin/switch-to-configuration" boot >&2; then
		echo "loader yes"
	else
		echo "note the boot loader could not be written"
		return 1
	fi
}

clean() {
	if [ -e "$running" ]; then
		echo "a deployment goes on" >&2
		exit 75
	fi
	status=0
	if [ -n "$old" ]; then
		# shellcheck disable=SC2086  # numbers
		nix-env --profile "$system" --delete-generations $old >&2 || status=1
		for number in $old; do
			[ -L "$profiles/system-$number-link" ] || echo "deleted $number"
		done
		refresh || status=1
	fi
	said=$(nix-store --gc) || status=1
	echo "said $(printf '%s\n' "$said" | grep 'store paths deleted' | tail -n 1)"
	exit "$status"
}

# It comes on standard input: nothing may read on there, and half of it does nothing.
"$action" </dev/null
