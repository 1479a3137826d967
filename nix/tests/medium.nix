# What an installation image says about itself, for comparison with the facts of its hosts.
{
  tree,
  name, # the host; without one, the image of all hosts of the platform
  platform ? "x86_64-linux",
}:
let
  path = text: /. + text;
  generated = path tree;
  pins = import (generated + "/_hive/lib/pins.nix") { tree = generated; };
  medium = import ((if name == "" then pins.nixpkgs else pins.nixpkgsOf name) + "/nixos/lib/eval-config.nix") {
    system = null;
    modules = [
      (if name == "" then import (generated + "/_all/iso.nix") platform else generated + "/${name}/iso.nix")
      # the services are there with the program; any store path stands for it
      { hive.medium.setup = toString pins.nixpkgs; }
    ];
  };
  inherit (medium) config lib pkgs;
  plain = builtins.unsafeDiscardStringContext;
  units = lib.filterAttrs (_: u: (u.text or null) != null) config.systemd.network.units;
  supported = config.boot.supportedFilesystems;
  services = lib.filterAttrs (n: _: lib.hasPrefix "nixos-staged-hive-" n) config.systemd.services;
in
{
  system = pkgs.stdenv.hostPlatform.system;
  hostName = config.networking.hostName;
  hostId = config.networking.hostId;
  units = lib.mapAttrs (_: u: plain u.text) units;
  keys = lib.mapAttrs (_: u: u.openssh.authorizedKeys.keys) (
    lib.filterAttrs (_: u: u.openssh.authorizedKeys.keys != [ ]) config.users.users
  );
  users = builtins.attrNames (lib.filterAttrs (_: u: u.isNormalUser) config.users.users);
  ports = config.services.openssh.ports;
  passwordAuth = config.services.openssh.settings.PasswordAuthentication;
  rootLogin = config.services.openssh.settings.PermitRootLogin;
  autologin = config.services.getty.autologinUser;
  loginShell = config.environment.loginShellInit;
  volume = config.isoImage.volumeID;
  timeZone = config.time.timeZone;
  locale = config.i18n.defaultLocale;
  keyMap = config.console.keyMap;
  zfs = if builtins.isAttrs supported then supported.zfs or false else builtins.elem "zfs" supported;
  files = builtins.attrNames config.environment.etc;
  contents = map (c: c.target) config.isoImage.contents;
  manifest = builtins.fromJSON (plain (builtins.toJSON config.hive.medium.manifest));
  passwords = config.hive.medium.passwords;
  commands = map (p: p.name or "") config.environment.systemPackages;
  services = lib.mapAttrs (_: s: {
    inherit (s) before after;
    exec = plain s.serviceConfig.ExecStart;
    type = s.serviceConfig.Type or "simple";
  }) services;
  swraid = config.boot.swraid.enable;
}
