# Debian's systemd (252) in the shape of nixpkgs' (255).
# shellcheck shell=bash disable=SC2154  # read by repack.sh
rm -rf "${out:?}/etc"
rm -f "$out"/lib/libsystemd-shared* "$out"/lib/systemd/libsystemd-shared*
ln -sf "$out/lib/systemd/systemd" "$out/bin/init"

# NixOS chooses units, temporary files and kernel settings from an example
units=$out/example/systemd/system
mkdir -p "$out/example/systemd"
mv "$out/lib/systemd/system" "$units"
mv "$out/lib/systemd/user" "$out/example/systemd/user"
mv "$out"/lib/{sysctl.d,tmpfiles.d} "$out/example/"

# programs by their place in Debian, or by name alone
programs='systemctl|journalctl|udevadm|bootctl|networkctl|loginctl|systemd-[a-z-]+'
grep -rIlZE '/lib/systemd|/usr/bin|/bin/|/usr/lib|^Exec' "$out/example/systemd" "$out/lib/udev/rules.d" "$out/share/dbus-1" |
	while IFS= read -r -d '' file; do
		[[ ! -L $file ]] || continue
		sed -i -E "
			s,(^|[^a-zA-Z0-9])(/usr)?/lib/systemd/systemd,\1$out/lib/systemd/systemd,g
			s,(^|[= !@+:-])(/usr)?/s?bin/($programs),\1$out/bin/\3,g
			s,^(Exec[A-Za-z]+=[-@:+!]*)($programs),\1$out/bin/\2,
		" "$file"
	done
# starts only where Debian's D-Bus is found
sed -i '/^ConditionPathExists=|/d' "$units/systemd-logind.service"

# Units that 255 has and 252 has not, or that Debian leaves out: NixOS' lists name them, so they are there and never start.
alias_of() {
	local name=${1#dbus-org.freedesktop.}
	ln -s "systemd-${name%1.service}d.service" "$units/$1"
}
placeholder() {
	printf '[Unit]\nDescription=%s is not in the systemd of Debian\nConditionPathExists=/nonexistent\n' "$1" >"$units/$1"
	case $1 in
	*.service) printf '[Service]\nType=oneshot\nExecStart=/bin/sh -c :\n' >>"$units/$1" ;;
	*.socket) printf '[Socket]\nListenStream=/run/absent-%s\n' "$1" >>"$units/$1" ;;
	esac
}
for unit in dbus-org.freedesktop.{hostname,import,locale,login,machine,portable,timedate}1.service machines.target \
	systemd-{boot-random-seed,growfs-root,growfs@,hwdb-update,importd,journal-catalog-update,machined,nspawn@,oomd,portabled}.service \
	systemd-{tmpfiles-setup-dev-early,update-done,vconsole-setup}.service systemd-journald-varlink@.socket systemd-oomd.socket; do
	[[ ! -e $units/$unit ]] || continue
	case $unit in dbus-org.*) alias_of "$unit" ;; *) placeholder "$unit" ;; esac
done
