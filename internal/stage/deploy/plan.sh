#!/bin/sh
# What a system would change on this host. It changes nothing. Arguments: the system that runs, the new one.
# Each line is a word and what it says; the last one says that the answer is whole.
from=$1 to=$2
PATH=$from/sw/bin:$PATH:/run/current-system/sw/bin
export PATH

# Another one of these three means that only a reboot makes the system whole, as nixos-rebuild and NixOS' auto-upgrade see it.
reboot=no
for part in kernel initrd kernel-modules; do
	[ "$(readlink -f "/run/booted-system/$part")" = "$(readlink -f "$to/$part")" ] || reboot=yes
done
echo "reboot $reboot"

# What the boot loader has to copy, if it copies: nothing where a generation that it knows has the same.
bytes=0
for part in kernel initrd; do
	new=$(readlink -e "$to/$part") || continue
	known=no
	for generation in /nix/var/nix/profiles/system-*-link; do
		[ "$(readlink -e "$generation/$part")" != "$new" ] || known=yes
	done
	[ "$known" = yes ] || bytes=$((bytes + $(wc -c <"$new")))
done 2>/dev/null
echo "boot $bytes"

# Files that say how the network is.
network() {
	(cd "$1/etc" 2>/dev/null && find -L systemd/network NetworkManager/system-connections wpa_supplicant.conf dhcpcd.conf resolv.conf \
		-type f -exec cksum {} + 2>/dev/null) | sort
}
{
	network "$from" | sed 's/^/-/'
	network "$to" | sed 's/^/+/'
} | awk '{ sign = substr($1, 1, 1); sum = substr($1, 2) " " $2; name = $3; for (i = 4; i <= NF; i++) name = name " " $i
	if (sign == "-") old[name] = sum; else now[name] = sum }
	END { for (n in old) if (old[n] != now[n]) print "network " n; for (n in now) if (!(n in old)) print "network " n }' | sort

# switch-to-configuration itself says what it would do with units, on either stream.
out=$("$to/bin/switch-to-configuration" dry-activate 2>&1 </dev/null)
echo "dry $?"
printf '%s\n' "$out" | sed 's/^/says /'
echo whole
