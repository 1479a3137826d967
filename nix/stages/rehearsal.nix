# What a rehearsal in virtual machines builds of a generated tree. Each system of a host has one module more than what
# default.nix builds: whoever rehearses gets in, sees the console, and finds the disks under the names the definition has.
#   NAME.iso   the installation image (stage 0); its mini system is the one below
#   NAME.mini  the mini system (stage 1)
#   NAME.full  the full system (stage 2)
#   NAME.kept  the script that lays out what is to be on the disks that setup only mounts; null without such disks
{
  tree, # path of the generated folder, as text
  rehearsal, # path of a JSON document, as text: { NAME = { key, udevRules }; }
}:
let
  path = text: /. + text;
  generated = path tree;
  hosts = import (generated + "/_hive/lib/hosts.nix") { tree = generated; };
  guests = builtins.fromJSON (builtins.readFile (path rehearsal));

  guest =
    { key, udevRules }:
    { lib, ... }:
    {
      key = "nixos-staged-hive/rehearsal";
      config = {
        users.users.root.openssh.authorizedKeys.keys = [ key ];
        services.openssh.settings.PermitRootLogin = lib.mkOverride 49 "prohibit-password";
        # The last one is where stage 1 writes to.
        boot.kernelParams = lib.mkAfter [ "console=tty0" "console=ttyS0,115200" ];
        services.udev.extraRules = udevRules;
        boot.initrd.services.udev.rules = udevRules;
      };
    };

  build = configuration: configuration.config.system.build;
  disko = configuration: (build configuration).diskoScript or null;
in
builtins.mapAttrs (
  name: spec:
  let
    module = guest spec;
    kept = hosts.evaluate name [ ({ lib, ... }: { hive.partitioning.format = lib.mkForce { }; }) ];
  in
  {
    iso =
      (build (
        hosts.plain name [
          (generated + "/${name}/iso.nix")
          module
          { hive.medium.modules = [ module ]; }
        ]
      )).isoImage;
    mini = (build (hosts.plain name [ (generated + "/${name}/mini_sys.nix") module ])).toplevel;
    full = (build (hosts.evaluate name [ module { hive.hosts.entries = hosts.hive.entries; } ])).toplevel;
    kept = if kept.config.hive.partitioning.additional == { } then null else disko kept;
  }
) guests
