# What both machines share.
{ name, ... }:
{
  hive.admin = {
    name = "mia";
    sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
  };
  security.sudo.wheelNeedsPassword = false;
  hive.network = {
    gateway = "192.168.77.1";
    nameservers = [ "192.168.77.1" ];
  };
  users.motd = "This is ${name}, deployed from the hive.";
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
