# Drivers for the disks and controllers of a machine nobody has looked at.
{
  boot.initrd.availableKernelModules = [
    "ahci" "ata_piix" "nvme" "sd_mod" "sr_mod" "usb_storage" "uas" "virtio_net" "virtio_pci" "virtio_blk" "virtio_scsi"
    "mmc_block" "vmw_pvscsi" "megaraid_sas" "mpt3sas" "xhci_pci"
  ];
  boot.initrd.kernelModules = [ "virtio_balloon" "virtio_console" "virtio_rng" ];
  hardware.enableRedistributableFirmware = true;
}
