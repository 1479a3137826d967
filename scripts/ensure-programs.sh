#!/bin/sh
# Installs what demo and tests need besides Go: Nix (nix-instantiate, nix-store, nix-build) and git, from the distribution's packages,
# as root or with sudo. Arguments are further programs to install.
# Does nothing, and asks for nothing, when all is there.
set -eu

PATH=$PATH:/usr/sbin:/sbin:${HOME:-/root}/.nix-profile/bin:/nix/var/nix/profiles/default/bin

say() { echo "set-up: $*" >&2; }

missing=
for program in nix-instantiate git "$@"; do
	command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif ! command -v sudo >/dev/null 2>&1; then
		say "this needs root, and there is no sudo. Run as root: $*"
		exit 1
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

# Without recommended packages: Debian's would start a daemon, for which one must log in anew.
with_apt() {
	as_root apt-get -q update || say "the package lists could not be refreshed; trying with those at hand"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends ca-certificates "$@"
}

# package_of names the packages of a program: Debian's where there is apt-get, else those most distributions have.
package_of() {
	if command -v apt-get >/dev/null 2>&1; then
		case $1 in
		nix-instantiate) echo nix-bin ;;
		qemu-system-x86_64) echo qemu-system-x86 ovmf ;;
		qemu-img) echo qemu-utils ;;
		sshd) echo openssh-server ;;
		nft) echo nftables ;;
		sgdisk) echo gdisk ;;
		ip) echo iproute2 ;;
		mke2fs) echo e2fsprogs ;;
		ssh) echo openssh-client ;;
		gcc) echo gcc libc6-dev ;;
		mcopy) echo mtools ;;
		*) echo "$1" ;;
		esac
	else
		case $1 in
		nix-instantiate) echo nix ;;
		ssh | sshd) echo openssh ;;
		nft) echo nftables ;;
		*) echo "$1" ;;
		esac
	fi
}

install_packages() {
	packages=
	for program in "$@"; do
		packages="$packages $(package_of "$program")"
	done
	say "installing$packages"
	# The names are ours and hold no blanks.
	# shellcheck disable=SC2086
	if command -v apt-get >/dev/null 2>&1; then
		with_apt $packages
	elif command -v dnf >/dev/null 2>&1; then
		as_root dnf install -y $packages
	elif command -v pacman >/dev/null 2>&1; then
		as_root pacman -S --needed --noconfirm $packages
	elif command -v zypper >/dev/null 2>&1; then
		as_root zypper --non-interactive install $packages
	elif command -v apk >/dev/null 2>&1; then
		as_root apk add $packages
	else
		say "no package manager known here. Please install:$packages"
		say "Nix is at https://nixos.org/download (any way of installing it will do)"
		exit 1
	fi
}

if [ -n "$missing" ]; then
	if [ -e /etc/NIXOS ]; then
		say "this is NixOS: Nix is here, and packages are not installed behind its back. Missing:$missing"
		say "run this instead: nix-shell -p go gnumake$(printf '%s' "$missing" | sed 's/ nix-instantiate//')"
		exit 1
	fi
	# shellcheck disable=SC2086
	if ! install_packages $missing; then
		say "the package manager could not install:$missing"
		say "Nix is at https://nixos.org/download (any way of installing it will do)"
		exit 1
	fi
	for program in $missing; do
		command -v "$program" >/dev/null 2>&1 || { say "$program is still not on PATH after installing it"; exit 1; }
	done
fi

# Who may write the store? A daemon does it for everyone; root does it alone; a store that is still empty is given to this user, which
# is Nix's single-user mode.
if [ "$(id -u)" -ne 0 ] && [ ! -S /nix/var/nix/daemon-socket/socket ] && [ ! -w /nix/store ]; then
	if [ -n "$(ls -A /nix/store 2>/dev/null)" ]; then
		say "/nix/store belongs to somebody else and no nix-daemon runs. Start the daemon, or run this as root."
		exit 1
	fi
	say "giving the new, empty Nix store to $(id -un)"
	as_root mkdir -p -m 0755 /nix/store /nix/var
	as_root chown -R "$(id -u):$(id -g)" /nix
fi
