# Stage 0: the installation image of one host, as a NixOS module. It knows the host's network, users and disks, and
# carries the closure of its mini system, so that nothing is evaluated or downloaded on the machine.
{
  tree, # the generated folder
  name, # the host
}:
{
  config,
  lib,
  modulesPath,
  options,
  pkgs,
  ...
}:
let
  hosts = import (tree + "/_hive/lib/hosts.nix") { inherit tree; };
  host = builtins.fromJSON (builtins.readFile (tree + "/${name}/host.json"));
  full = hosts.evaluate name [ ];
  formatting = hosts.formatting name;
  mini = hosts.plain name ([ (tree + "/${name}/mini_sys.nix") ] ++ config.hive.medium.modules);

  setup = full.config.hive.setup;
  hasDisks = host.diskLayout;
  toplevel = mini.config.system.build.toplevel;
  build = n: full.config.system.build.${n};

  shell = n: lines: pkgs.writeShellScript n (lib.concatStringsSep "\n" ([ "set -euo pipefail" ] ++ lines));
  command =
    s:
    if lib.isDerivation s then
      s
    else
      pkgs.runCommand "script-${baseNameOf (toString s)}" { } ''
        mkdir -p $out/bin
        cp ${s} $out/bin/${lib.escapeShellArg (baseNameOf (toString s))}
        chmod +x $out/bin/*
      '';
  file = f: {
    name = "nixos/files/${baseNameOf (toString f)}";
    value.source = f;
  };

  manifest = {
    schema = import (tree + "/_hive/lib/schema.nix");
    inherit name;
    system = "${toplevel}";
    closure = "${pkgs.closureInfo { rootPaths = [ toplevel ]; }}";
    preScript = "${shell "pre-setup" setup.preScript}";
    postScript = "${shell "post-setup" setup.postScript}";
  }
  // lib.optionalAttrs hasDisks {
    # format and mount only what is this host's to format; mount everything
    diskoScript = "${formatting.config.system.build.diskoScript}";
    formatScript = "${formatting.config.system.build.formatScript}";
    mountScript = "${build "mountScript"}";
  };

  volume =
    let
      short = lib.toUpper (builtins.substring 0 8 (lib.concatStrings (builtins.filter builtins.isString (builtins.split "[^A-Za-z0-9]" name))));
      hash = lib.toUpper (builtins.substring 0 8 (builtins.hashString "sha256" (builtins.unsafeDiscardStringContext (builtins.toJSON manifest))));
    in
    # Stage 1 of the medium finds it by this label: two media with one label would boot each other's store.
    "NSH-${short}-${hash}";
in
{
  imports = [ (modulesPath + "/installer/cd-dvd/installation-cd-minimal.nix") ];

  options.hive.medium.modules = lib.mkOption {
    type = lib.types.listOf lib.types.raw;
    default = [ ];
    internal = true;
    description = "Further modules of the mini system on the medium. A rehearsal has one.";
  };

  config = lib.mkMerge [
    {
      isoImage = {
        volumeID = volume;
        squashfsCompression = "zstd -Xcompression-level 6";
      };
      documentation.enable = lib.mkForce false;
      networking = {
        hostName = lib.mkForce "${host.hostName}-setup";
        hostId = lib.mkIf (host.hostId != "") (lib.mkForce host.hostId);
        useNetworkd = true;
        useDHCP = lib.mkForce false;
        wireless.enable = lib.mkForce false;
      };
      systemd.network = {
        enable = true;
        units = lib.mapAttrs (_: text: { inherit text; }) host.units;
      };
      services.openssh = {
        enable = true;
        settings = {
          PasswordAuthentication = lib.mkForce false;
          KbdInteractiveAuthentication = lib.mkForce false;
          PermitRootLogin = lib.mkForce "prohibit-password";
        };
      };
      users.users.root.openssh.authorizedKeys.keys = host.deployer.keys;
      # Disks of every kind the host uses, and no ZFS where it does not: it holds kernels back. The option was a list of
      # names before NixOS 24.05, and takes one ever since.
      boot.supportedFilesystems =
        if options.boot.supportedFilesystems.type.name == "listOf" then
          lib.mkForce (lib.unique (host.supportedFileSystems ++ [ "btrfs" "ext4" "vfat" "xfs" ]))
        else
          lib.mkMerge [
            host.supportedFileSystems
            (lib.mkIf (!(builtins.elem "zfs" host.supportedFileSystems)) { zfs = lib.mkForce false; })
          ];
      environment.systemPackages = map command setup.scripts;
      environment.etc = builtins.listToAttrs (map file setup.files) // {
        "nixos-staged-hive/manifest.json".text = builtins.toJSON manifest;
        "nixos/configuration.nix".source = tree + "/${name}/mini_sys.nix";
        "nixos/host.json".source = tree + "/${name}/host.json";
      };
    }
    (lib.mkIf (host.deployer.name != "root") {
      users.users.${host.deployer.name} = {
        isNormalUser = true;
        extraGroups = [ "wheel" ];
        openssh.authorizedKeys.keys = host.deployer.keys;
      };
    })
    (lib.optionalAttrs (options.nixpkgs ? hostPlatform) { nixpkgs.hostPlatform = host.system; })
    (lib.optionalAttrs (lib.hasAttrByPath [ "system" "installer" "channel" "enable" ] options) {
      # no copy of nixpkgs on the stick
      system.installer.channel.enable = lib.mkForce false;
    })
    {
      time.timeZone = lib.mkIf (host.timeZone != null) host.timeZone;
      i18n.defaultLocale = lib.mkIf (host.locale != null) host.locale;
      console.keyMap = lib.mkIf (host.keyMap != null) (lib.mkForce host.keyMap);
    }
  ];
}
