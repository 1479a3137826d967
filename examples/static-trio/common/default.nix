# What all three machines share. Any folder beside nixConfigs is yours.
{ pkgs, ... }:
{
  hive.admin = {
    name = "mia";
    sshKeys = [ "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAICdYbNfeEQSVeOPnI+AQGuJncpybjNpzYnMjRlikR4Jj mia@laptop" ];
    hashedPasswordFile = "/var/lib/secrets/mia.password";
  };
  hive.network = {
    gateway = "192.168.1.1";
    nameservers = [
      "192.168.1.1"
      "9.9.9.9"
    ];
    search = [ "home.arpa" ];
  };
  networking.domain = "home.arpa";
  time.timeZone = "Europe/Berlin";
  i18n.defaultLocale = "de_DE.UTF-8";
  console.keyMap = "de-latin1-nodeadkeys";
  environment.systemPackages = [ pkgs.git pkgs.htop ];
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "24.05";
}
