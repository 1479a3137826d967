# What the installation image of a host says about it, for comparison with its facts.
{ tree, name }:
let
  path = text: /. + text;
  generated = path tree;
  pins = import (generated + "/_hive/lib/pins.nix") { tree = generated; };
  medium = import (pins.nixpkgsOf name + "/nixos/lib/eval-config.nix") {
    system = null;
    modules = [ (generated + "/${name}/iso.nix") ];
  };
  inherit (medium) config lib pkgs;
  plain = builtins.unsafeDiscardStringContext;
  units = lib.filterAttrs (_: u: (u.text or null) != null) config.systemd.network.units;
  supported = config.boot.supportedFilesystems;
in
{
  system = pkgs.stdenv.hostPlatform.system;
  hostName = config.networking.hostName;
  hostId = config.networking.hostId;
  units = lib.mapAttrs (_: u: plain u.text) units;
  keys = lib.mapAttrs (_: u: u.openssh.authorizedKeys.keys) (
    lib.filterAttrs (_: u: u.openssh.authorizedKeys.keys != [ ]) config.users.users
  );
  passwordAuth = config.services.openssh.settings.PasswordAuthentication;
  rootLogin = config.services.openssh.settings.PermitRootLogin;
  volume = config.isoImage.volumeID;
  timeZone = config.time.timeZone;
  locale = config.i18n.defaultLocale;
  keyMap = config.console.keyMap;
  zfs = if builtins.isAttrs supported then supported.zfs or false else builtins.elem "zfs" supported;
  files = builtins.attrNames (lib.filterAttrs (n: _: lib.hasPrefix "nixos" n) config.environment.etc);
  manifest = builtins.fromJSON (plain config.environment.etc."nixos-staged-hive/manifest.json".text);
  commands = map (p: p.name or "") config.environment.systemPackages;
}
