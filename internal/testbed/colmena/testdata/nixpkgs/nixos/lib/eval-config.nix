# One option that matters, broken, and a system that a shell builds.
{ modules, specialArgs ? { }, lib ? import ../../../../../../../test/nixpkgs/lib, system ? builtins.currentSystem, ... }:
let
  any = default: lib.mkOption { type = lib.types.raw; inherit default; };
  base = { name, config, ... }: {
    options = {
      # "", "eval", "build" or "activate": the step that fails
      broken = any "";
      networking.hostName = any name;
      # options that Colmena's own modules set
      warnings = lib.mkOption { type = lib.types.listOf lib.types.str; default = [ ]; };
      assertions = lib.mkOption { type = lib.types.listOf lib.types.raw; default = [ ]; };
      nixpkgs = lib.mkOption { type = lib.types.attrsOf lib.types.raw; default = { }; };
      systemd = lib.mkOption { type = lib.types.attrsOf lib.types.raw; default = { }; };
      system.activationScripts = lib.mkOption { type = lib.types.attrsOf lib.types.raw; default = { }; };
      system.build = lib.mkOption { type = lib.types.attrsOf lib.types.raw; default = { }; };
    };
    config.system.build.toplevel =
      if config.broken == "eval" then throw "${name} does not evaluate"
      else derivation {
        name = "stand-in-system-${name}";
        inherit system;
        builder = "/bin/sh";
        PATH = "/run/current-system/sw/bin:/usr/bin:/bin";
        inherit (config) broken;
        args = [
          "-c"
          ''
            if [ "$broken" = build ]; then echo "$name does not build" >&2; exit 7; fi
            mkdir -p $out/bin
            {
              echo '#!/bin/sh'
              echo "echo $name: \$1"
              if [ "$broken" = activate ]; then echo 'exit 4'; fi
            } > $out/bin/switch-to-configuration
            chmod +x $out/bin/switch-to-configuration
          ''
        ];
      };
    config._module.args.pkgs = { inherit lib; };
  };
in
lib.evalModules {
  inherit specialArgs;
  modules = modules ++ [ base ];
}
