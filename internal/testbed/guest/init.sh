#!/bin/busybox sh
# shellcheck shell=dash
# The first program of the guest: mounts, udev, the script, power off.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
touch /etc/modules
while read -r module; do modprobe "$module"; done < /etc/modules
/lib/systemd/systemd-udevd --daemon
udevadm trigger --type=subsystems --action=add
udevadm trigger --type=devices --action=add
udevadm settle --timeout=300
echo '<<guest: output>>'
sh /script
echo "<<guest: status $?>>"
sync
poweroff -f
