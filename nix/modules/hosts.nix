# hive.hosts: names of the other hosts in /etc/hosts.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.hive.hosts;
in
{
  options.hive.hosts = {
    enable = mkOption {
      type = types.bool;
      default = config.hive.network.address != [ ];
      defaultText = lib.literalExpression "config.hive.network.address != [ ]";
      description = "Write an entry for every host of the hive with a static address into /etc/hosts, with its domain name.";
    };
    entries = mkOption {
      type = types.attrsOf (types.listOf types.str);
      default = { };
      internal = true;
      description = "Names by address. The generated hive fills it in: evaluation of one host cannot know the others.";
    };
  };

  config.networking.hosts = lib.mkIf cfg.enable cfg.entries;
}
