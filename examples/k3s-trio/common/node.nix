# A node: three equal machines that differ in name, address, and disk.
{
  address,
  mac,
  disk,
}:
{ name, ... }:
{
  hive.admin = {
    sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
    hashedPasswordFile = "/var/lib/secrets/admin.password";
  };
  hive.network = {
    match = { inherit mac; };
    # containers get macvlans on the same card, and must reach their host
    macvlan = "vlan1";
    address = "${address}/24";
    gateway = "10.0.100.1";
    nameservers = [ "10.0.100.1" ];
  };
  networking.domain = "k3s.home.arpa";
  hive.partitioning.format.disk.${name} = {
    device = "/dev/disk/by-id/${disk}";
    content = {
      type = "gpt";
      partitions = {
        ESP = {
          size = "1G";
          type = "EF00";
          content = {
            type = "filesystem";
            format = "vfat";
            mountpoint = "/boot";
          };
        };
        root = {
          size = "100%";
          content = {
            type = "filesystem";
            format = "ext4";
            mountpoint = "/";
          };
        };
      };
    };
  };
  boot.loader.systemd-boot.enable = true;
  hive.deployment.tags = [ "k3s" ];
  # the ports of the API server and etcd, open before K3s itself is there
  networking.firewall.allowedTCPPorts = [
    2379
    2380
    6443
  ];
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
