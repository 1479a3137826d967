# nixpkgs leaves the search for devices to blkid, as its stage 1 has no other program of these.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
rm -rf "$out/lib/systemd"
rules=("$out"/lib/udev/rules.d/*bcache.rules)
sed -i -E '/probe-bcache|bcache-keep-symlinks|bcache-export-cached/d' "${rules[@]}"
sed -i "s,\"bcache-register \$tempnode\",\"$bash/bin/sh -c 'echo \$tempnode > /sys/fs/bcache/register'\"," "${rules[@]}"
