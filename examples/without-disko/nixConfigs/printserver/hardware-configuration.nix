# As nixos-generate-config wrote it.
{ lib, ... }:
{
  boot.initrd.availableKernelModules = [
    "ata_piix"
    "uhci_hcd"
    "virtio_pci"
    "virtio_scsi"
    "sd_mod"
    "sr_mod"
  ];
  boot.kernelModules = [ "kvm-intel" ];
  fileSystems."/" = {
    device = "/dev/disk/by-uuid/2f1cf4cb-1c3b-4a3f-9f43-51a0f2f1c0de";
    fsType = "ext4";
  };
  fileSystems."/srv" = {
    device = "/dev/disk/by-label/srv";
    fsType = "xfs";
    options = [ "noatime" ];
  };
  swapDevices = [ { device = "/dev/disk/by-uuid/66a0a1b2-3c4d-4e5f-8a9b-0c1d2e3f4a5b"; } ];
  nixpkgs.hostPlatform = lib.mkDefault "x86_64-linux";
}
