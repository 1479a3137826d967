# Every module of the miniature. Their places in the folder tree are ours, except where people import them by path:
# installer/, profiles/. Later ones come first in merged lists: assertions and warnings are in the order of nixpkgs.
[
  ./misc/assertions.nix
  ./misc/nixpkgs.nix
  ./misc/version.nix
  ./config/users.nix
  ./config/locale.nix
  ./config/nix.nix
  ./config/hardware.nix
  ./config/desktop.nix
  ./security/sudo.nix
  ./services/openssh.nix
  ./services/others.nix
  ./virtualisation/options.nix
  ./networking/interfaces.nix
  ./networking/networkd.nix
  ./networking/scripted-to-networkd.nix
  ./networking/firewall.nix
  ./system/etc.nix
  ./system/initrd.nix
  ./system/loader.nix
  ./system/systemd.nix
  ./system/toplevel.nix
  ./tasks/filesystems.nix
  ./system/kernel.nix
]
