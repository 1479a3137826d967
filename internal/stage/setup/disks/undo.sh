#!/bin/sh
# Writes the saved areas of a disk back: sh restore.sh disk-NAME /dev/sdX
set -eu
if [ $# -ne 2 ] || [ ! -f "$1/kit.json" ] || [ ! -b "$2" ]; then
	echo "usage: sh restore.sh disk-NAME /dev/sdX" >&2
	exit 2
fi
sed -n 's/^  "\(device\|serial\|model\|bytes\)": /\1: /p' "$1/kit.json"
bytes=$(sed -n 's/^  "bytes": \([0-9]*\).*/\1/p' "$1/kit.json")
if [ "$(blockdev --getsize64 "$2")" != "$bytes" ]; then
	echo "$2 does not have $bytes bytes: it is another disk" >&2
	exit 1
fi
serial=$(sed -n 's/^  "serial": "\(.*\)",$/\1/p' "$1/kit.json" | tr -d ' ')
if [ "$(lsblk -dno SERIAL "$2" | tr -d ' ')" != "$serial" ] && [ -z "${ANY_SERIAL-}" ]; then
	echo "the serial number of $2 is not $serial: it is another disk (if it is the one, in a case that hides the number: ANY_SERIAL=1 sh restore.sh ...)" >&2
	exit 1
fi
if lsblk -no MOUNTPOINT "$2" | grep -q .; then
	echo "$2 is in use: unmount it first" >&2
	exit 1
fi
printf 'Write the saved areas back to %s? Type yes: ' "$2"
read -r answer
[ "$answer" = yes ] || exit 1
for file in "$1"/*.gz; do gzip -t "$file"; done

# udev leaves a locked disk alone: it would assemble arrays and volume groups of which only some is there yet
exec 9<"$2"
if command -v flock >/dev/null; then flock 9; fi
restore() {
	gzip -dc "$1" | dd of="$2" bs=64K oflag=seek_bytes seek="$(basename "$1" .gz)" conv=notrunc,fsync status=none
}
for file in "$1"/*.gz; do
	[ "$file" = "$1/0.gz" ] || restore "$file" "$2"
done
restore "$1/0.gz" "$2" # the table last, so that no partition is seen before what is in it
exec 9<&-
blockdev --rereadpt "$2" || echo "unplug the disk or restart, so that the partitions are seen again" >&2
