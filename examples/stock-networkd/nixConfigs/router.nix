# A router that says everything in systemd-networkd's own words; none of hive.network is needed.
{
  hive.admin = {
    sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
    hashedPasswordFile = "/var/lib/secrets/admin.password";
  };
  networking.useDHCP = false;
  systemd.network = {
    enable = true;
    links."10-uplink" = {
      matchConfig.PermanentMACAddress = "00:0d:b9:4a:00:10";
      linkConfig.Name = "uplink";
    };
    netdevs."20-guests" = {
      netdevConfig = {
        Name = "guests";
        Kind = "vlan";
      };
      vlanConfig.Id = 30;
    };
    networks = {
      "10-uplink" = {
        matchConfig.Name = "uplink";
        networkConfig.DHCP = "ipv4";
        dhcpV4Config.ClientIdentifier = "mac";
      };
      "20-lan" = {
        matchConfig.MACAddress = "00:0d:b9:4a:00:11";
        address = [ "192.168.8.1/24" ];
        vlan = [ "guests" ];
        networkConfig.IPForward = "yes";
      };
      "30-guests" = {
        matchConfig.Name = "guests";
        address = [ "192.168.30.1/24" ];
      };
    };
  };
  networking.nameservers = [ "9.9.9.9" ];
  hive.deployment.targetHost = "192.168.8.1";
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "f2fs";
  };
  boot.loader.grub.device = "/dev/disk/by-id/ata-SATA_SSD_20042111000123";
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
