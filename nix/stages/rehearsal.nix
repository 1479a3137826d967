# What a rehearsal in virtual machines builds of a generated tree. Each system of a host has one module more than what
# default.nix builds: whoever rehearses gets in, sees the console, and finds the disks under the names the definition has.
#   NAME.iso   the installation image (stage 0); its mini system is the one below
#   NAME.mini  the mini system (stage 1)
#   NAME.full  the full system (stage 2)
#   NAME.kept  the script that lays out what is to be on the disks that setup only mounts; null without such disks
#   NAME.secrets  a file that lists the files from which the medium reads passphrases while it formats, one in a line
{
  tree, # path of the generated folder, as text
  rehearsal, # path of a JSON document, as text: what each host needs, see `guest`
  setup ? null, # store path of the program for the medium, as ./tree.nix takes it
}:
let
  path = text: /. + text;
  generated = path tree;
  hosts = import (generated + "/_hive/lib/hosts.nix") { tree = generated; };
  guests = builtins.fromJSON (builtins.readFile (path rehearsal));

  # `carried` are the options that a mini system has forced values for: ours have to be forced too, to be merged with those.
  guest =
    carried:
    {
      key, # lets root in
      udevRules, # name disks and cards that have no place in a virtual machine that would
      firstModules, # kernel modules that decide in which order disks are found
      mediumParameters, # kernel parameters of the medium
      asksAtScreen, # it asks for a passphrase where a keyboard is
    }:
    { lib, ... }:
    let
      set = path: value: lib.setAttrByPath path (if builtins.elem path carried then lib.mkForce value else value);
      # The last one is where stage 1 writes to and reads from. Whoever types there waits for the kernel's first line on the other one, which
      # NixOS' own loglevel=4 hides.
      consoles = if asksAtScreen then [ "console=ttyS0,115200" "console=tty0" "loglevel=6" ] else [ "console=tty0" "console=ttyS0,115200" ];
    in
    {
      key = "nixos-staged-hive/rehearsal";
      config = lib.mkMerge [
        { services.openssh.settings.PermitRootLogin = lib.mkOverride 49 "prohibit-password"; }
        (set [ "users" "users" "root" "openssh" "authorizedKeys" "keys" ] [ key ])
        (set [ "services" "udev" "extraRules" ] udevRules)
        (set [ "boot" "initrd" "services" "udev" "rules" ] udevRules)
        (set [ "boot" "initrd" "kernelModules" ] (lib.mkBefore firstModules))
        (set [ "boot" "kernelParams" ] (
          # On a busy computer an emulated timer comes late, which Linux takes for broken hardware and panics
          # (setup_IO_APIC). Under KVM it does not look either. Libraries at changing addresses are translated anew for each program where there is
          # no KVM (QEMU 7.2: nine tenths of an installation's time), and mitigations guard nothing in a machine that is thrown away.
          lib.mkAfter (consoles ++ [ "no_timer_check" "norandmaps" "mitigations=off" ])
        ))
      ];
    };

  build = configuration: configuration.config.system.build;
  disko = configuration: (build configuration).diskoScript or null;

  # The files with passphrases in a tree of disko, whose evaluated values also hold functions and internals (with an underscore).
  secretsOf =
    tree:
    if builtins.isList tree then
      builtins.concatMap secretsOf tree
    else if !(builtins.isAttrs tree) || tree.type or "" == "derivation" then
      [ ]
    else
      (
        if tree.type or null == "luks" then
          builtins.filter builtins.isString [
            (tree.passwordFile or null)
            (tree.keyFile or null)
            (tree.settings.keyFile or null)
          ]
          ++ map toString (tree.additionalKeyFiles or [ ])
        else
          [ ]
      )
      ++ builtins.concatMap (name: secretsOf tree.${name}) (
        builtins.filter (name: builtins.elem name containers || !(tree ? type)) (builtins.attrNames tree)
      );
  # where disko's types keep what they contain
  containers = [ "content" "partitions" "lvs" "datasets" "subvolumes" ];
in
builtins.mapAttrs (
  name: spec:
  let
    host = builtins.fromJSON (builtins.readFile (generated + "/${name}/host.json"));
    unattended = (builtins.fromJSON (builtins.readFile (generated + "/${name}/medium.json"))).plan.unattended;
    module = guest [ ] spec;
    miniModule = guest (map (c: c.path) host.carried) spec;
    kept = hosts.evaluate name [ ({ lib, ... }: { hive.partitioning.format = lib.mkForce { }; }) ];
  in
  {
    iso =
      (build (
        hosts.plain name [
          (generated + "/${name}/iso.nix")
          module
          {
            hive.medium = {
              modules = [ miniModule ];
              inherit setup;
            };
            boot.kernelParams = spec.mediumParameters;
            # the rehearsal begins the installation itself, once it has given the medium its secrets
            systemd.services = if unattended then { nixos-staged-hive-unattended.enable = false; } else { };
          }
        ]
      )).isoImage;
    mini = (build (hosts.plain name [ (generated + "/${name}/mini_sys.nix") miniModule ])).toplevel;
    full = (build (hosts.evaluate name [ module { hive.hosts.entries = hosts.hive.entries; } ])).toplevel;
    secrets = kept.pkgs.writeText "secrets" (
      builtins.concatStringsSep "\n" (secretsOf (hosts.formatting name).config.hive.partitioning.format)
    );
    kept = if kept.config.hive.partitioning.additional == { } then null else disko kept;
  }
) guests
