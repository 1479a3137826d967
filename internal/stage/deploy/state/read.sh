#!/bin/sh
# Says what a host runs, boots and has room for, a line a fact: a word, a tab, the value. It changes nothing and needs no rights; what it may
# not read it leaves out. Its argument is a word nobody can guess, which begins and ends what it says: start-up files of
# a login shell may have said something before.
PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/system/sw/bin:/usr/bin:/bin
LC_ALL=C
export PATH LC_ALL
token=$1
tab=$(printf '\t')
system=/nix/var/nix/profiles/system
current=/run/current-system
booted=/run/booted-system
variables=/sys/firmware/efi/efivars

say() { printf '%s\t%s\n' "$1" "$2"; }

# A link, or a directory that is one; a plain file as it is in stand-ins may have another path and be the same.
same() {
	[ "$(readlink -e "$booted/$1")" = "$(readlink -e "$current/$1")" ] && return
	[ -f "$booted/$1" ] && ! [ -L "$booted/$1" ] && [ -f "$current/$1" ] && ! [ -L "$current/$1" ] && cmp -s "$booted/$1" "$current/$1"
}

reboot() {
	[ -e "$booted" ] && [ -e "$current" ] || return
	if same kernel && same kernel-modules && same initrd; then say reboot no; else say reboot yes; fi
}

space() { # MOUNT FOLDER: device number, block size, blocks, free blocks, source
	[ -d "$2" ] || return
	say space "$1 $(stat -c %d "$2") $(stat -f -c '%S %b %f' "$2") $(df -P "$2" | sed -n '2s/ .*//p')"
}

# A variable of the firmware: four bytes of attributes, then UTF-16 (Boot Loader Interface).
variable() {
	file=$variables/$1-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f
	[ -r "$file" ] && say "$1" "$(tail -c +5 "$file" | tr -d '\000\n')"
}

# The files that a boot loader's choice depends on. Which of them counts is found out by who reads this.
lines() { # PATTERN FILE...
	pattern=$1
	shift
	grep -H -i -E "$pattern" "$@" /dev/null 2>/dev/null | sed "s/^/line$tab/"
}

config() { # FILE PATTERN
	[ -f "$1" ] && [ -r "$1" ] || return
	say config "$(stat -c '%Y %n' "$1")"
	lines "$2" "$1"
}

loaders() {
	parts=$(sed -n 's/^[^ ]* \([^ \\]*\) vfat .*/\1/p' /proc/self/mounts)
	for part in $(printf '%s\n' /boot /efi /boot/efi "$parts" | sort -u); do
		[ -d "$part" ] || continue
		if ! [ -r "$part" ] || ! [ -x "$part" ]; then say hidden "$part"; fi
		config "$part/loader/loader.conf" '^[[:space:]]*default[[:space:]]'
		lines '^[[:space:]]*(sort-key|version|machine-id|options)[[:space:]]' "$part"/loader/entries/*.conf
	done
	config /boot/grub/grub.cfg '(menuentry|submenu)[[:space:]]|[[:space:]]init=|set default=|^[[:space:]]*}'
	lines '^saved_entry=' /boot/grub/grubenv
	config /boot/extlinux/extlinux.conf '^[[:space:]]*(default|label|append)[[:space:]]'
	variable LoaderInfo
	variable LoaderEntryDefault
	variable LoaderEntryLastBooted
}

generations() {
	find /nix/var/nix/profiles -maxdepth 1 -name 'system-*-link' -printf "generation$tab%f %Ts %l\n"
	say link "$(readlink "$system")"
}

units() {
	say systemd "$(systemctl is-system-running 2>/dev/null)"
	systemctl list-units --failed --plain --no-legend --no-pager --full 2>/dev/null | sed "s/^[[:space:]]*/failed$tab/; s/ .*//"
}

# Whom the Nix daemon believes. After sudo it is about who logged in.
trust() {
	user=${SUDO_USER:-$(id -un)}
	say user "$user"
	say groups "$(id -Gn "$user")"
	# shellcheck disable=SC2046  # a word is a file
	set -- /etc/nix/nix.conf $(sed -n 's/^[[:space:]]*!\{0,1\}include[[:space:]]\{1,\}//p' /etc/nix/nix.conf 2>/dev/null)
	cd /etc/nix 2>/dev/null || return
	sed -n "s/^[[:space:]]*\(extra-\)\{0,1\}trusted-users[[:space:]]*=[[:space:]]*/trusted$tab/p" "$@" 2>/dev/null
}

# The record of a guarded activation (package guard). It is in memory while that goes on.
record() {
	for file in /run/nixos-staged-hive-deploy/record /var/lib/nixos-staged-hive/deploy/record; do
		[ "$(tail -n 1 "$file" 2>/dev/null)" = end ] || continue
		sed "s/^/record$tab/" "$file"
		return
	done
}

everything() {
	printf '\n%s\n' "$token"
	say hostname "$(cat /proc/sys/kernel/hostname)"
	say boot "$(cat /proc/sys/kernel/random/boot_id)"
	say uptime "$(sed 's/ .*//' /proc/uptime)"
	say current "$(readlink -e "$current")"
	say booted "$(readlink -e "$booted")"
	say profile "$(readlink -e "$system")"
	say version "$(cat "$current/nixos-version" 2>/dev/null)"
	reboot
	generations
	units
	space / /
	space /nix /nix/store
	space /boot /boot
	loaders
	trust
	record
	printf '%s\n' "$token"
}

# It comes on standard input: nothing may read on there, and half of it does nothing.
everything </dev/null
