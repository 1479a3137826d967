# Debian's units and services of D-Bus name programs of its file system.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
find "$out/lib/systemd" "$out/share/dbus-1" -type f -print0 |
	xargs -0 sed -i -E "s,(^|[=\">])(/usr)?/lib/dbus-1.0/,\1$out/lib/dbus-1.0/,g; s,(^|[=\">])/usr/bin/,\1$out/bin/,g"
mkdir -p "$out/libexec"
ln -s ../lib/dbus-1.0/dbus-daemon-launch-helper "$out/libexec/"
rm -rf "$out"/lib/systemd/system/*.wants
