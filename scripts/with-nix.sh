#!/bin/sh
# Runs a command with Nix set up for demo and tests: offline, and able to build without a daemon where none runs.
set -eu

if ! command -v nix-instantiate >/dev/null 2>&1; then
	PATH=$PATH:${HOME:-/root}/.nix-profile/bin:/nix/var/nix/profiles/default/bin
	export PATH
fi

# Nothing here needs a binary cache, and without a network each question to one costs seconds.
config='substituters ='

# A socket alone proves nothing: it may be left over from the machine an image was made on.
daemon_answers() {
	NIX_REMOTE=daemon nix-store --check-validity --print-invalid /nix/store/00000000000000000000000000000000-x >/dev/null 2>&1
}

if daemon_answers; then
	NIX_REMOTE=daemon
elif [ "$(id -u)" -eq 0 ] || [ -w /nix/store ]; then
	NIX_REMOTE=local
	# The builders of the tests use the /bin/sh of this machine, which a sandbox would hide.
	config="$config
sandbox = false"
	# As root, Nix builds as the users of the group nixbld; only its daemon's set-up creates that group.
	if [ "$(id -u)" -eq 0 ] && ! grep -qs '^nixbld:' /etc/group; then
		config="$config
build-users-group ="
	fi
else
	echo "set-up: the nix-daemon of this machine does not answer $(id -un). Is it running? On Debian its users are in the group nix-users." >&2
	exit 1
fi
export NIX_REMOTE

NIX_CONFIG="${NIX_CONFIG:+$NIX_CONFIG
}$config"
export NIX_CONFIG
exec "$@"
