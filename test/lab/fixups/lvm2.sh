# The rules of device mapper name its programs. Without these rules nobody answers the cookie that cryptsetup and lvm wait
# for. Stage 1 replaces the "bin" output by its own programs and allows no other.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
programs=${bin:-$out}/bin
sed -i -E "s,/sbin/(dmsetup|lvm),$programs/\1,g" "$out"/lib/udev/rules.d/*.rules
rm -rf "$out/lib/systemd/system-generators" "$out/etc/init.d"
