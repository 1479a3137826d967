#!/bin/sh
# Runs a command with Nix set up for demo and tests: offline, and able to build without a daemon where none runs.
set -eu

if ! command -v nix-instantiate >/dev/null 2>&1; then
	PATH=$PATH:${HOME:-/root}/.nix-profile/bin:/nix/var/nix/profiles/default/bin
	export PATH
fi

# Nothing here needs a binary cache, and without a network each question to one costs seconds.
config='substituters ='

socket=/nix/var/nix/daemon-socket/socket
if [ -w "${NIX_STATE_DIR:-/nix/var/nix}" ] && [ ! -S "$socket" ]; then
	# The builders of the tests use the /bin/sh of this machine, which a sandbox would hide.
	config="$config
sandbox = false"
	# As root, Nix builds as the users of the group nixbld; only its daemon's set-up creates that group.
	if [ "$(id -u)" -eq 0 ] && ! grep -qs '^nixbld:' /etc/group; then
		config="$config
build-users-group ="
	fi
	NIX_REMOTE=local
	export NIX_REMOTE
elif [ -S "$socket" ] && [ ! -w "$socket" ]; then
	echo "set-up: you may not use the nix-daemon of this machine. On Debian: sudo adduser $(id -un) nix-users, and log in again" >&2
	exit 1
fi

NIX_CONFIG="${NIX_CONFIG:+$NIX_CONFIG
}$config"
export NIX_CONFIG
exec "$@"
