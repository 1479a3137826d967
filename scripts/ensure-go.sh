#!/bin/sh
# Checks that Go 1.26 or newer is there. It never downloads one: which compiler runs on a machine is its owner's decision.
set -eu

need_minor=26

how() {
	cat >&2 <<MESSAGE
How to get it:
  any Linux   download the archive for your machine from https://go.dev/dl/ and unpack it:
                sudo rm -rf /usr/local/go && sudo tar -C /usr/local -xzf go1.$need_minor.*.linux-*.tar.gz
                export PATH=/usr/local/go/bin:\$PATH
  NixOS, Nix  nix-shell -p go gnumake     (where its go is 1.$need_minor or newer)
Then run the same command again.
MESSAGE
	exit 1
}

if ! command -v go >/dev/null 2>&1; then
	echo "Go 1.$need_minor or newer is needed, and no go is on PATH." >&2
	how
fi

# GOTOOLCHAIN=local: an old go is asked for its own version, not for that of a toolchain it would fetch. Outside of the module, so
# that it does not stumble over go.mod before it answers.
version=$(cd / && GOTOOLCHAIN=local go env GOVERSION)
minor=${version#go1.}
minor=${minor%%[!0-9]*}
case $version in
go1.*) [ "${minor:-0}" -lt "$need_minor" ] || exit 0 ;;
devel* | go[2-9]*) exit 0 ;;
esac
echo "Go 1.$need_minor or newer is needed, and $(command -v go) is $version." >&2
how
