#!/bin/sh
# Makes a minimal Debian into the root that all hosts of one suite share. Runs once, inside of it. Its text is part of the root's name
# in the cache: any change makes new roots.
set -eu
suite=$1 password=$2
export DEBIAN_FRONTEND=noninteractive

# No service starts here, and what nobody reads is not unpacked.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
printf 'path-exclude=/usr/share/%s/*\n' doc man locale info >/etc/dpkg/dpkg.cfg.d/slim
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/io
# sid is a moving archive: a mirror that stands still has an expired release file soon. Signatures are checked all the same.
if [ "$suite" = sid ]; then
	echo 'Acquire::Check-Valid-Until "false";' >/etc/apt/apt.conf.d/99standing-mirror
fi

# Not with debootstrap --include: it cannot resolve the virtual Perl packages that nix-bin wants.
apt-get -q update
apt-get -q install -y --no-install-recommends nix-bin openssh-server openssh-client sudo iproute2 procps ca-certificates jq \
	nftables systemd-sysv dbus bash-static
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin

# Every host gets keys and an identity of its own.
rm -f /etc/ssh/ssh_host_* /etc/hostname
: >/etc/machine-id
: >/etc/resolv.conf # a copy of the machine's until now, as is /etc/hosts
: >/etc/hosts

# Nix for several users, offline. Without "substituters =" each copy loses seconds in asking a cache that cannot be reached.
groupadd -r nixbld
for i in 1 2 3 4; do
	useradd -r -g nixbld -G nixbld -d /var/empty -s /usr/sbin/nologin "nixbld$i"
done
mkdir -p /etc/nix /nix/store /nix/var/nix/profiles/per-user /nix/var/nix/gcroots/per-user
chown root:nixbld /nix/store
chmod 1775 /nix/store

# The one who logs in, as on NixOS: wheel may do all with a password, and root cannot log in.
groupadd -r wheel
useradd -m -s /bin/bash -G wheel admin
install -d -m 700 -o admin -g admin /home/admin/.ssh
printf 'admin:%s\n' "$password" | chpasswd
usermod -p "*" root # no password, but not locked, which sshd without PAM would refuse
echo '%wheel ALL=(ALL:ALL) ALL' >/etc/sudoers.d/wheel
chmod 440 /etc/sudoers.d/wheel
: >/etc/NIXOS

# A container has no hardware to wait for and no kernel of its own to look into, and nothing here is to wake up by itself.
for unit in getty.target getty@tty1.service console-getty.service systemd-udevd.service systemd-udev-trigger.service \
	systemd-logind.service systemd-networkd.service systemd-modules-load.service systemd-binfmt.service systemd-firstboot.service \
	systemd-sysctl.service sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
	dev-hugepages.mount systemd-resolved.service systemd-timesyncd.service e2scrub_reap.service ssh.service ssh.socket sshd.socket \
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer nftables.service \
	nix-daemon.socket systemd-homed.service systemd-userdbd.socket; do
	ln -sfn /dev/null "/etc/systemd/system/$unit"
done
