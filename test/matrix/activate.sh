# As little of an activation as nixos-install needs, with what every system has after it.
mkdir -p /proc /run /etc /bin /usr/bin /var /tmp /home
[ -e /proc/mounts ] || mount -t proc proc /proc
ln -sfn @out@ /run/current-system
ln -sfn @out@/sw/bin/sh /bin/sh
ln -sfn @out@/sw/bin/env /usr/bin/env
touch /etc/machine-id
