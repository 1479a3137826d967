# systemd-boot, installed in the order and with the weaknesses of NixOS' own program (24.05: systemd-boot-builder.py): a kernel that is on the
# ESP is not looked at again, files are not flushed until the end, loader.conf comes last.
set -e
esp=/boot
grep -q " $esp vfat " /proc/mounts || { echo "$esp is no ESP" >&2; exit 1; }
if [ -n "$NIXOS_INSTALL_BOOTLOADER" ]; then
	mkdir -p $esp/EFI/systemd $esp/EFI/BOOT $esp/loader
	for to in EFI/systemd/systemd-bootx64.efi EFI/BOOT/BOOTX64.EFI; do
		cp $boot $esp/$to.tmp
		mv $esp/$to.tmp $esp/$to
	done
	head -c 32 /dev/urandom > $esp/loader/random-seed
fi
mkdir -p $esp/EFI/nixos $esp/loader/entries
name=$(basename @out@)
for file in kernel initrd; do
	[ -e $esp/EFI/nixos/$name-$file.efi ] || cp @out@/$file $esp/EFI/nixos/$name-$file.efi
done
cat > $esp/loader/entries/nixos-generation-1.conf.tmp <<END
title NixOS
version Generation 1
linux /EFI/nixos/$name-kernel.efi
initrd /EFI/nixos/$name-initrd.efi
options init=@out@/init $(cat @out@/kernel-params)
END
mv $esp/loader/entries/nixos-generation-1.conf.tmp $esp/loader/entries/nixos-generation-1.conf
printf 'timeout 0\ndefault nixos-generation-1.conf\nconsole-mode keep\n' > $esp/loader/loader.conf.tmp
mv $esp/loader/loader.conf.tmp $esp/loader/loader.conf
sync -f $esp
