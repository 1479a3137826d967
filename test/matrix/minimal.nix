# What all layouts of the crash matrix share: as little as boots in a virtual machine and says so.
{ lib, modulesPath, ... }:
{
  imports = [ (modulesPath + "/profiles/minimal.nix") ];
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
  boot.loader.systemd-boot.enable = lib.mkDefault true;
  boot.loader.grub.enable = lib.mkDefault false;
  boot.loader.timeout = 0;
  boot.initrd.includeDefaultModules = false;
  boot.initrd.availableKernelModules = [ "virtio_pci" "virtio_blk" ];
  boot.initrd.compressor = "zstd";
  boot.initrd.compressorArgs = [ "-3" ];
  boot.kernelParams = [ "console=ttyS0" "panic=-1" "boot.panic_on_fail" "no_timer_check" "norandmaps" "mitigations=off" "loglevel=4" ];
  users.users.root.openssh.authorizedKeys.keys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlaceholderOnlyForTestsNotARealKeyAtAll00000 matrix" ];
  hardware.enableRedistributableFirmware = false;
}
