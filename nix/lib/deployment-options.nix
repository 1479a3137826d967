# Colmena's `deployment` options, as its versions 0.4 and 0.5 take them, declared here so that a definition can be
# evaluated without Colmena.
{ lib, name }:
let
  inherit (lib) mkOption types;
  key = types.submodule (
    { name, config, ... }:
    {
      options = {
        name = mkOption {
          type = types.str;
          default = name;
          defaultText = lib.literalMD "the name it has in `keys`";
          description = "File name of the key.";
        };
        text = mkOption {
          type = types.nullOr types.str;
          default = null;
          description = "The secret itself. It is part of every evaluation: use keyCommand or keyFile.";
        };
        keyFile = mkOption {
          type = types.nullOr types.path;
          default = null;
          description = "File on the deploying machine; write it as a string, a Nix path is copied into the store.";
        };
        keyCommand = mkOption {
          type = types.nullOr (types.listOf types.str);
          default = null;
          example = [ "pass" "show" "hive/token" ];
          description = "Command on the deploying machine that prints the secret.";
        };
        destDir = mkOption {
          type = types.path;
          default = "/run/keys";
          description = "Folder on the host. /run is empty after a reboot: choose another for what must survive it.";
        };
        path = mkOption {
          type = types.path;
          default = "${config.destDir}/${config.name}";
          defaultText = lib.literalExpression ''"''${destDir}/''${name}"'';
          internal = true;
          description = "Whole path of the key on the host.";
        };
        user = mkOption {
          type = types.str;
          default = "root";
          description = "Owner of the key.";
        };
        group = mkOption {
          type = types.str;
          default = "root";
          description = "Group of the key.";
        };
        permissions = mkOption {
          type = types.str;
          default = "0600";
          description = "Mode of the key, in octal.";
        };
        uploadAt = mkOption {
          type = types.enum [
            "pre-activation"
            "post-activation"
          ];
          default = "pre-activation";
          description = "Whether the key is uploaded before or after the new system is activated.";
        };
      };
    }
  );
in
{
  targetHost = mkOption {
    type = types.nullOr types.str;
    default = name;
    defaultText = lib.literalMD "the host's name";
    example = "192.168.1.10";
    description = "Address to deploy to; null for a host that is never deployed remotely.";
  };
  targetPort = mkOption {
    type = types.nullOr types.ints.unsigned;
    default = null;
    description = "Port of sshd, if it is not ssh's default.";
  };
  targetUser = mkOption {
    type = types.nullOr types.str;
    default = "root";
    description = "User to deploy as; null leaves it to ssh.";
  };
  allowLocalDeployment = mkOption {
    type = types.bool;
    default = false;
    description = "Allow deploying to this host from itself.";
  };
  buildOnTarget = mkOption {
    type = types.bool;
    default = false;
    description = "Build the system on the host instead of on the deploying machine.";
  };
  tags = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "server" ];
    description = "Names of groups the host belongs to, for `--on @tag`.";
  };
  keys = mkOption {
    type = types.attrsOf key;
    default = { };
    description = "Secrets that are uploaded outside the Nix store.";
  };
  replaceUnknownProfiles = mkOption {
    type = types.bool;
    default = true;
    description = "Deploy even if the running system is not known on the deploying machine.";
  };
  privilegeEscalationCommand = mkOption {
    type = types.listOf types.str;
    default = [
      "sudo"
      "-H"
      "--"
    ];
    description = "Command that makes a user other than root become root, without asking.";
  };
  sshOptions = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "-o" "ConnectTimeout=10" ];
    description = "Further words for ssh. Colmena 0.4 has no such option and does without them.";
  };
}
