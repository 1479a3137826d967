# Every module of the miniature. Their places in the folder tree are ours, except where people import them by path:
# installer/, profiles/.
[
  ./misc/assertions.nix
  ./misc/nixpkgs.nix
  ./misc/version.nix
  ./config/users.nix
  ./config/locale.nix
  ./config/nix.nix
  ./config/hardware.nix
  ./config/desktop.nix
  ./system/etc.nix
  ./system/kernel.nix
  ./system/initrd.nix
  ./system/loader.nix
  ./system/systemd.nix
  ./system/toplevel.nix
  ./tasks/filesystems.nix
  ./networking/interfaces.nix
  ./networking/networkd.nix
  ./networking/scripted-to-networkd.nix
  ./networking/firewall.nix
  ./security/sudo.nix
  ./services/openssh.nix
  ./services/others.nix
  ./virtualisation/options.nix
]
