# system.build.toplevel: one folder that refers to everything evaluated, with a switch-to-configuration that says what it
# is. Colmena builds, copies and activates it like a real one.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on accept;
  failed = map (a: a.message) (builtins.filter (a: !a.assertion) config.assertions);
  # A real system is full of reads of these before its assertions are looked at.
  early = builtins.seq config.system.stateVersion (builtins.seq config.networking.hostName null);
  checked =
    value:
    builtins.seq early (
    if failed != [ ] then
      throw "\nFailed assertions:\n${lib.concatMapStringsSep "\n" (m: "- ${m}") failed}"
    else
      lib.showWarnings config.warnings value
    );

  contents = pkgs.writeText "system.json" (
    builtins.toJSON {
      version = config.system.nixos.version;
      system = pkgs.stdenv.hostPlatform.system;
      bootLoader = lib.optionalString config.boot.loader.external.enable "${config.boot.loader.external.installHook}";
      kernel = "${config.boot.kernelPackages.kernel}";
      etc = "${config.system.build.etc}";
      packages = map toString config.environment.systemPackages;
      extraDependencies = map toString config.system.extraDependencies;
      activation = pkgs.writeText "activate" (
        lib.concatStringsSep "\n" (lib.textClosureList config.system.activationScripts (builtins.attrNames config.system.activationScripts))
      );
      inherit (config.networking) hostName hostId;
      inherit (config.boot) kernelParams kernelModules blacklistedKernelModules;
      initrd = {
        inherit (config.boot.initrd) availableKernelModules kernelModules;
        luks = builtins.mapAttrs (_: l: toString l.device) config.boot.initrd.luks.devices;
      };
      fileSystems = builtins.mapAttrs (_: fs: { inherit (fs) device fsType options; }) config.fileSystems;
      swap = map (s: s.device) config.swapDevices;
      services = builtins.mapAttrs (_: s: { inherit (s) script wantedBy serviceConfig; }) config.systemd.services;
      firewall = { inherit (config.networking.firewall) enable allowedTCPPorts allowedUDPPorts; };
      users = builtins.mapAttrs (_: u: {
        inherit (u) uid group home extraGroups;
        keys = u.openssh.authorizedKeys.keys;
      }) config.users.users;
      stateVersion = config.system.stateVersion;
      configurationRevision = config.system.configurationRevision;
    }
  );
in
{
  options.system = {
    build = opt (types.submoduleWith {
      modules = [ { freeformType = types.lazyAttrsOf (types.uniq types.unspecified); } ];
    }) { };
    name = opt types.str null // {
      default = if config.networking.hostName == "" then "unnamed" else config.networking.hostName;
    };
    extraDependencies = opt (types.listOf types.path) [ ];
    modulesTree = opt types.raw config.boot.kernelPackages.kernel;
    extraSystemBuilderCmds = opt types.lines "";
    checks = opt (types.listOf types.package) [ ];
    activationScripts = opt (types.attrsOf (types.either types.str (types.submodule {
      options = {
        deps = opt (types.listOf types.str) [ ];
        text = opt types.lines "";
        supportsDryActivation = off;
      };
    }))) { } // { apply = lib.mapAttrs (_: s: if builtins.isString s then lib.noDepEntry s else s); };
    userActivationScripts = accept;
    disableInstallerTools = off;
    installer.channel.enable = on;
    switch = { enable = on; enableNg = off; };
    autoUpgrade = { enable = off; allowReboot = off; };
    copySystemConfiguration = off;
    includeBuildDependencies = off;
    replaceRuntimeDependencies = opt (types.listOf types.attrs) [ ];
    etc.overlay.enable = off;
  };
  options.specialisation = opt (types.attrsOf types.attrs) { };
  options.boot.extraSystemBuilderCmds = opt types.lines "";

  config.system.activationScripts = lib.genAttrs [ "users" "groups" "etc" "specialfs" "stdio" "var" ] (n: lib.noDepEntry "# ${n}");
  config.system.build.toplevel = checked (
    pkgs.runCommand "nixos-system-${config.system.name}-${config.system.nixos.label}" { } ''
      mkdir -p $out/bin
      ln -s ${contents} $out/system.json
      ln -s ${config.system.build.etc} $out/etc
      ln -s ${config.boot.kernelPackages.kernel} $out/kernel
      ln -s ${config.system.modulesTree} $out/kernel-modules
      printf %s ${lib.escapeShellArg config.system.nixos.label} > $out/nixos-version
      printf %s ${pkgs.stdenv.hostPlatform.system} > $out/system
      {
        echo '#!/bin/sh'
        echo "echo \"a system of the test miniature of nixpkgs: it activates nothing (\$1)\""
      } > $out/bin/switch-to-configuration
      chmod +x $out/bin/switch-to-configuration
    ''
  );
}
