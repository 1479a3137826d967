# A small server: UEFI, btrfs with subvolumes, a VLAN for its address, IPv4 and IPv6.
{
  imports = [
    ../../common
    ./disks.nix
  ];
  hive.network = {
    match.mac = "00:1e:4f:9a:10:02";
    vlan = 20;
    address = [
      "192.168.1.12/24"
      "fd00:20::12/64"
    ];
  };
  boot.loader = {
    systemd-boot.enable = true;
    systemd-boot.configurationLimit = 8;
    efi.canTouchEfiVariables = true;
  };
  hive.deployment.tags = [
    "server"
    "media"
  ];
  services.btrfs.autoScrub.enable = true;
}
