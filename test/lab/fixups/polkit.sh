# Debian's units and services of polkit name programs of its file system.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
find "$out/lib/systemd" "$out/share/dbus-1" -type f -print0 |
	xargs -0 sed -i -E "s,=(/usr)?/lib(exec)?/polkit,=$out/lib\2/polkit,g"
