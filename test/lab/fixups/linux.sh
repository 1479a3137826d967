# Debian's kernel, with the drivers of virtual machines and of common PCs: disks, USB, wired network, containers.
# Sound, graphics, wireless and the like are most of its 330 MB.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
mv "$out"/boot/vmlinuz-* "$out/bzImage"
mv "$out"/boot/System.map-* "$out/System.map"
rm -r "${out:?}/boot"
modules=$(echo "$out"/lib/modules/*)
rm -f "$modules/build" "$modules/source"
(
	cd "$modules/kernel" || exit
	rm -rf sound drivers/{accel,bluetooth,comedi,gnss,gpu,hwmon,iio,infiniband,isdn,leds,media,memstick,mtd,nfc,ntb,pcmcia,power,regulator,soundwire,staging,target,thermal} \
		drivers/net/{can,dsa,hamradio,usb,wan,wireless,wwan} net/{bluetooth,can,mac80211,nfc,wireless,rds,tipc,atm,ax25,batman-adv,rxrpc,openvswitch,ceph} \
		fs/{afs,ceph,coda,gfs2,nfs,nfsd,nilfs2,ocfs2,orangefs,ubifs}
	find drivers/net/ethernet -mindepth 1 -maxdepth 1 ! -name intel ! -name realtek -exec rm -r {} +
)
depmod -b "$out" -a "${modules##*/}"
