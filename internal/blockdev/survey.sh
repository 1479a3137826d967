# Read by sh on the machine that is looked at. Tells, one a line with tabs between:
#   link    PATH  TARGET                 what udev named a device
#   part    MAJOR:MINOR  NUMBER  START   of a partition, START in units of 512 bytes
#   driver  MAJOR:MINOR  MODULE          from a disk up to its bus, in this order
#   no udev                              if nobody keeps /run/udev
# Programs: readlink, where the shell alone cannot tell: starting programs is most of what this costs. A loop over nothing leaves its pattern,
# which is not there.
tab='	'

[ -d /run/udev/data ] || echo 'no udev'

# follow LINK: sets target to the device that it leads to.
follow() {
  for device in /sys/class/block/*; do
    target=/dev/${device##*/}
    [ "$1" -ef "$target" ] && [ ! -L "$target" ] && return
  done
  target=$(readlink -f "$1")
}

for link in /dev/disk/by-id/* /dev/disk/by-path/*; do
  [ -L "$link" ] && follow "$link" && printf 'link\t%s\t%s\n' "$link" "$target"
done

for part in /sys/class/block/*/partition; do
  [ -e "$part" ] || continue
  folder=${part%/partition}
  read -r number <"$part" && read -r start <"$folder/start" && read -r device <"$folder/dev" &&
    printf 'part\t%s\t%s\t%s\n' "$device" "$number" "$start"
done

# climb DEVICE FOLDER: the modules of the drivers of FOLDER and all above it.
climb() {
  cd -P "$2" || return 0
  at=$PWD
  while [ "${at#/sys/devices/}" != "$at" ]; do
    if [ -e "$at/driver/module" ] && cd -P "$at/driver/module"; then
      module=$PWD
      printf 'driver%s%s%s%s\n' "$tab" "$1" "$tab" "${module##*/}"
    fi
    at=${at%/*}
  done
}

for disk in /sys/class/block/*; do
  [ -e "$disk/device" ] || continue
  read -r device <"$disk/dev" || continue
  climb "$device" "$disk/device"
  # A disk of an NVMe subsystem (native multipath) lies below no controller; the subsystem names its controllers.
  for controller in "$disk"/device/nvme*/device; do
    [ -e "$controller" ] && climb "$device" "$controller"
  done
done
exit 0
