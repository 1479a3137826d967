# The rules of device mapper name its programs. Without these rules nobody answers the cookie that cryptsetup and lvm wait
# for. Stage 1 replaces their names by those of its own programs.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
sed -i -E "s,/sbin/(dmsetup|lvm),$out/bin/\1,g" "$out"/lib/udev/rules.d/*.rules
sed -i "s,/usr/bin/systemd-run,$(type -P systemd-run)," "$out"/lib/udev/rules.d/*.rules
rm -rf "$out/lib/systemd/system-generators" "$out/etc/init.d"
