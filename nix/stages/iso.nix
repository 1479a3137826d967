# Stage 0: the installation image of one host or of several, as a NixOS module. It knows the hosts' networks, users and disks,
# and carries the closures of their mini systems, so that nothing is evaluated or downloaded on a machine.
{
  tree, # the generated folder
  names, # the hosts, all of one platform
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
  cfg = config.hive.medium;
  hosts = import (tree + "/_hive/lib/hosts.nix") { inherit tree; };
  alone = builtins.length names == 1;
  carried = map (
    name:
    import ../lib/medium.nix {
      inherit
        tree
        hosts
        name
        alone
        lib
        pkgs
        ;
      miniModules = cfg.modules;
    }
  ) names;

  manifest = {
    schema =
      let
        schemas = lib.unique (map (c: c.schema) carried);
      in
      if builtins.length schemas == 1 then
        builtins.head schemas
      else
        throw "the hosts' medium.json are of different versions of the program: run `nixos-staged-hive generate` again";
    inherit volume;
    hosts = map (c: c.manifest) carried;
  };
  # Stage 1 of the medium finds it by this label: two media with one label would boot each other's store.
  volume =
    let
      word = builtins.concatStringsSep "" (builtins.filter builtins.isString (builtins.split "[^A-Za-z0-9]" label));
      content = builtins.unsafeDiscardStringContext (builtins.toJSON [ manifest.hosts cfg.setup ]);
    in
    lib.toUpper "NSH-${builtins.substring 0 8 word}-${builtins.substring 0 8 (builtins.hashString "sha256" content)}";
  label = if alone then builtins.head names else "ALL";
  fileName = lib.strings.sanitizeDerivationName "nixos-setup-${if alone then builtins.head names else pkgs.stdenv.hostPlatform.system}";

  # Which modules an initrd has is known once it is built: the name of the file that lists them gives way to what it lists.
  manifestFile =
    pkgs.runCommand "manifest.json"
      {
        text = builtins.toJSON manifest;
        passAsFile = [ "text" ];
      }
      ''
        cp "$textPath" manifest
        ${lib.concatMapStrings (c: ''
          list=$(sed -e 's/.*/"&"/' ${c.initrdModules} | paste -s -d , -)
          sed -e "s|\"${c.initrdModules}\"|$list|" manifest > with
          mv with manifest
        '') carried}
        cp manifest $out
      '';

  # Secrets go in here while the image is written: this file lies in it uncompressed, and is found by how it begins.
  # internal/secret has the same Magic and RegionSize.
  region = pkgs.runCommand "injected" { } ''
    printf %s 'nixos-staged-hive injected region 1 untouched...................' > $out
    truncate -s 1048576 $out
  '';
in
{
  imports = [
    (modulesPath + "/installer/cd-dvd/installation-cd-minimal.nix")
    (import ./medium/network.nix { hosts = map (c: c.host) carried; })
    (import ./medium/system.nix { hosts = map (c: c.host) carried; })
    (import ./medium/setup.nix { inherit carried; })
  ];

  # Its user, its empty passwords and its advice are for a medium that knows nobody; the rest of it is in ./medium/system.nix.
  disabledModules = [ "profiles/installation-device.nix" ];

  options.hive.medium = {
    modules = lib.mkOption {
      type = lib.types.listOf lib.types.raw;
      default = [ ];
      internal = true;
      description = "Further modules of the mini systems on the medium. A rehearsal has one.";
    };
    setup = lib.mkOption {
      type = lib.types.nullOr lib.types.str;
      default = null;
      internal = true;
      description = "Store path of the program that is `setup` on the medium: one static executable for its platform.";
    };
    manifest = lib.mkOption {
      type = lib.types.attrs;
      default = manifest;
      internal = true;
      readOnly = true;
      description = "What the medium says of itself: internal/hive.Manifest.";
    };
    passwords = lib.mkOption {
      type = lib.types.listOf lib.types.attrs;
      default = map (c: c.password) carried;
      internal = true;
      readOnly = true;
      description = "How the password of each host's deployer is set.";
    };
  };

  config = lib.mkMerge [
    {
      isoImage = {
        volumeID = volume;
        # The default takes longer than all the rest of a build together. Blocks are of 1 MiB otherwise (make-squashfs.nix; the last -b counts):
        # each small file that is read costs the memory and the unpacking of a whole one, which without KVM is most of the time of a copy.
        squashfsCompression = "zstd -Xcompression-level 6 -b 131072";
        contents = [
          {
            source = region;
            target = "/nixos-staged-hive/injected";
          }
        ];
      };
      environment.etc."nixos-staged-hive/manifest.json".source = manifestFile;
    }
    # named by what it is for; the option moved with NixOS 25.05
    (
      if lib.hasAttrByPath [ "image" "baseName" ] options then
        { image.baseName = lib.mkForce fileName; }
      else
        { isoImage.isoName = lib.mkForce "${fileName}.iso"; }
    )
    (lib.mkIf alone { environment.etc.nixos.source = (builtins.head carried).configuration; })
  ];
}
