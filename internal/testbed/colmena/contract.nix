# What Colmena demands of a hive.nix that is not a flake, and what it evaluates of one. Our own words; checked against the binaries by
# TestContract. Everything comes in as a string: file (absolute), family ("0.4" or "0.5"), select (JSON list of node names, null for
# all), expression (file with a function for `eval`, or empty).
{ file, family, select ? "null", expression ? "" }:
let
  inherit (builtins) attrNames elem filter fromJSON isFunction isList isPath isString listToAttrs mapAttrs toJSON;

  raw = import file;
  hive = if isFunction raw then raw { } else raw;
  reserved = [ "meta" "network" "defaults" ];

  given =
    if hive ? meta && hive ? network then throw "Only one of `network` and `meta` may be specified"
    else hive.meta or hive.network or { };

  # A path or a string is imported, a function is called: what stays is an initialised nixpkgs.
  instantiate = source:
    if isPath source || isString source then import source { }
    else if isFunction source then source { }
    else source;
  nixpkgs = instantiate (given.nixpkgs or <nixpkgs>);
  inherit (nixpkgs) lib;
  inherit (lib) types mkOption;

  option = type: default: mkOption { inherit type default; };
  attrs = types.attrsOf types.raw;

  # Evaluated as options, so that an unknown or badly typed key is an error.
  meta = (lib.evalModules {
    modules = [
      {
        options = {
          name = option types.str "hive";
          description = option types.str "A Colmena Hive";
          nixpkgs = option types.raw null;
          nodeNixpkgs = option attrs { };
          specialArgs = option attrs { };
          nodeSpecialArgs = option attrs { };
          machinesFile = option (types.nullOr types.path) null;
          allowApplyAll = option types.bool true;
        };
      }
      { config = given; }
    ];
  }).config;

  key = { name, config, ... }: {
    options = {
      name = option types.str name;
      text = option (types.nullOr types.str) null;
      keyFile = option (types.nullOr types.path) null;
      keyCommand = option (types.nullOr (types.listOf types.str)) null;
      destDir = option types.path "/run/keys";
      user = option types.str "root";
      group = option types.str "root";
      permissions = option types.str "0600";
      uploadAt = option (types.enum [ "pre-activation" "post-activation" ]) "pre-activation";
      path = option types.path "${config.destDir}/${config.name}";
    };
  };

  deployment = { name, ... }: {
    options.deployment = {
      targetHost = option (types.nullOr types.str) name;
      targetPort = option (types.nullOr types.ints.unsigned) null;
      targetUser = option (types.nullOr types.str) "root";
      allowLocalDeployment = option types.bool false;
      buildOnTarget = option types.bool false;
      tags = option (types.listOf types.str) [ ];
      keys = option (types.attrsOf (types.submodule key)) { };
      replaceUnknownProfiles = option types.bool true;
      privilegeEscalationCommand = option (types.listOf types.str) [ "sudo" "-H" "--" ];
    } // (if family == "0.4" then { } else { sshOptions = option (types.listOf types.str) [ ]; });
  };

  # Asking for the names already evaluates all of meta.
  names = builtins.deepSeq [ meta.name meta.description meta.machinesFile meta.allowApplyAll ]
    (filter (n: ! elem n reserved) (attrNames hive));

  evalNode = name: extra:
    let
      pkgs = if meta.nodeNixpkgs ? ${name} then instantiate meta.nodeNixpkgs.${name} else nixpkgs;
      node = hive.${name};
      defaults = hive.defaults or { };
    in
    import (pkgs.path + "/nixos/lib/eval-config.nix") {
      # 0.4 and 0.5 take the system from different places of an initialised nixpkgs.
      system = if family == "0.4" then pkgs.system else pkgs.stdenv.hostPlatform.system;
      inherit (pkgs) lib;
      specialArgs = { inherit name; nodes = mapAttrs (n: _: evalNode n [{ _module.check = false; }]) (keep names hive); }
        // meta.specialArgs // (meta.nodeSpecialArgs.${name} or { });
      modules = [ deployment (if isList defaults then throw "defaults must be one module, not a list" else defaults) ]
        ++ (if isList node then node else [ node ])
        ++ extra;
    };
  keep = wanted: set: listToAttrs (map (name: { inherit name; value = set.${name}; }) wanted);

  nodes = listToAttrs (map (name: { inherit name; value = evalNode name [ ]; }) names);
  wanted =
    let asked = fromJSON select;
    in if asked == null then names else filter (n: elem n asked) names;
in
{
  inherit names;
  meta = { inherit (meta) allowApplyAll; };
  deployments = mapAttrs (_: n: n.config.deployment) (keep wanted nodes);
  systems = mapAttrs (_: n: n.config.system.build.toplevel.drvPath) (keep wanted nodes);
  result = toJSON (import expression { inherit (nixpkgs) lib; pkgs = nixpkgs; inherit nodes; });
}
