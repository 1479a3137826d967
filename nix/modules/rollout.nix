# hive.deployment.{after,group,...}: how `hive deploy` treats the host, beyond what Colmena knows. Nothing here reaches Colmena, and
# nothing but bootGuard reaches the host.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  cfg = config.hive.deployment;
  seconds =
    what: usual:
    mkOption {
      type = types.nullOr types.ints.positive;
      default = null;
      defaultText = lib.literalMD "${toString usual} seconds";
      example = 2 * usual;
      description = "${what}, in seconds.";
    };
  check = types.submodule {
    options = {
      command = mkOption {
        type = types.nullOr (types.listOf types.str);
        default = null;
        example = [ "curl" "--fail" "--silent" "http://localhost:8080/health" ];
        description = "Command to run on the host over a new connection; it passes if it ends with 0. The words arrive as they are: no shell.";
      };
      root = mkOption {
        type = types.bool;
        default = false;
        description = "Run the command as root instead of as the user that deploys.";
      };
      url = mkOption {
        type = types.nullOr types.str;
        default = null;
        example = "https://web1.example.org/health";
        description = "Address to fetch from the deploying machine, instead of a command on the host.";
      };
      status = mkOption {
        type = types.nullOr (types.ints.between 100 599);
        default = null;
        defaultText = lib.literalMD "any from 200 to 399";
        example = 204;
        description = "HTTP status that is expected of the url.";
      };
      timeout = mkOption {
        type = types.ints.positive;
        default = 10;
        description = "Seconds that one attempt may take.";
      };
      attempts = mkOption {
        type = types.ints.positive;
        default = 3;
        description = "How often it is tried, a second apart, before it counts as failed.";
      };
    };
  };
in
{
  options.hive.deployment = {
    after = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "database" "@router" ];
      description = ''
        Hosts, or @tags of hosts, that have to be deployed well before this one. Where one of them fails, this host is left alone. What is
        not part of the deployment is not waited for.
      '';
    };
    group = mkOption {
      type = types.str;
      default = "";
      example = "web";
      description = "Hosts of one group take turns: at most maxUnavailable of them are being changed at once.";
    };
    maxUnavailable = mkOption {
      type = types.ints.positive;
      default = 1;
      example = 2;
      description = "How many hosts of the group may be in activation at once. The smallest number within a group counts.";
    };
    canary = mkOption {
      type = types.bool;
      default = false;
      description = "Deploy this host before all that are no canary, which go on only if it does well.";
    };
    checks = mkOption {
      type = types.attrsOf check;
      default = { };
      example = lib.literalExpression ''
        {
          web.url = "https://web1.example.org/health";
          database.command = [ "pg_isready" "-q" ];
        }
      '';
      description = ''
        What has to be true of the host after an activation; where it is not, the host goes back to the system it had. Beside these, a unit
        that fails now and did not before counts as a failed check.
      '';
    };
    timeouts = {
      activation = seconds "How long the activation may take before the host goes back" 600;
      confirm = seconds "How long the host waits, once activated, for a new connection and for the checks to pass before it goes back" 120;
      reboot = seconds "How long a reboot may take until the host answers" 600;
    };
    bootGuard = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Add a service that makes `hive deploy --reboot` safe without anybody near: a host that was rebooted into a new system and is not
        confirmed in time reboots into the old one by itself. Without it such a host waits for the next reboot, whoever makes it.
      '';
    };
  };

  config = lib.mkIf cfg.bootGuard {
    systemd.services.nixos-staged-hive-boot-guard = {
      description = "Goes back to the old system if a deployment's reboot is not confirmed";
      wantedBy = [ "multi-user.target" ];
      # A failing activation of a later deployment must not end it.
      restartIfChanged = false;
      stopIfChanged = false;
      unitConfig.ConditionPathExists = "/var/lib/nixos-staged-hive/deploy/guard";
      serviceConfig.ExecStart = "/bin/sh /var/lib/nixos-staged-hive/deploy/guard boot";
    };
  };
}
