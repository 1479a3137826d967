# hive.deployment: Colmena's deployment options under our roof. What a definition sets here is set there.
{
  config,
  options,
  lib,
  ...
}@args:
let
  # a module argument where a hive is evaluated; taken as an ordinary module, the host's own name
  name = args.name or config.networking.hostName;
  cfg = config.hive.deployment;
  opts = options.hive.deployment;
  schema = import ../lib/deployment-options.nix { inherit lib name; };
  isSet = option: option.highestPrio < (lib.mkOptionDefault null).priority;
  # Colmena computes path itself
  plainKey = key: removeAttrs key [ "path" "_module" ];
  valueOf = n: if n == "keys" then lib.mapAttrs (_: plainKey) cfg.keys else cfg.${n};
  # sshOptions exists from Colmena 0.5 on
  known = lib.filter (n: options.deployment ? ${n}) (lib.attrNames schema);
in
{
  options.hive.deployment = schema;

  config = lib.optionalAttrs (options ? deployment) {
    deployment = lib.genAttrs known (n: lib.mkIf (isSet opts.${n}) (valueOf n));
  };
}
