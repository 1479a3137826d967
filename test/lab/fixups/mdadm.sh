# Stage 1 replaces the folder sbin of this package by its own, and has no readlink, which is for firmware RAID alone.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
rm -rf "${out:?}/etc" "$out/lib/systemd/system-generators"
sed -i -E "/readlink/d; s,(^|[^[:alnum:]])/sbin/(mdadm|mdmon),\1$out/sbin/\2,g" "$out"/lib/udev/rules.d/*.rules
find "$out/lib/systemd" -type f -print0 | xargs -0 -r sed -i -E "s,=(-?)/sbin/mdadm,=\1$out/bin/mdadm,"
