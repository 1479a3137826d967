# A virtual machine that boots with UEFI and gets its address from a server.
{
  imports = [
    ../../common
    ./partitioning.nix
  ];
  networking.hostName = "simpleVM";
  ip = "dhcp";
  interface = "ens3";
  boot.loader.systemd-boot.enable = true;
  colmena.deployment = {
    targetHost = "192.168.122.14";
    tags = [ "vm" ];
  };
}
