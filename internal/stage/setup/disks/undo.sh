#!/bin/sh
# Writes the saved areas of a disk back: sh restore.sh disk-NAME /dev/sdX
set -eu
if [ $# -ne 2 ] || [ ! -f "$1/kit.json" ] || [ ! -b "$2" ]; then
	echo "usage: sh restore.sh disk-NAME /dev/sdX" >&2
	exit 2
fi
sed -n 's/^  "\(device\|serial\|model\|bytes\)": /\1: /p' "$1/kit.json"
printf 'Write the saved areas back to %s? Type yes: ' "$2"
read -r answer
[ "$answer" = yes ] || exit 1
for file in "$1"/*.gz; do gzip -t "$file"; done
for file in "$1"/*.gz; do
	offset=$(basename "$file" .gz)
	gzip -dc "$file" | dd of="$2" bs=64K oflag=seek_bytes seek="$offset" conv=notrunc,fsync status=none
done
blockdev --rereadpt "$2" || echo "unplug the disk or restart, so that the partitions are seen again" >&2
