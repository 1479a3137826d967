# The program on a medium: `setup` and its other names, the services that start it, and the screen at the machine.
#
# Without a program (`nix-build generated -A NAME.iso` by hand) `setup` is a text that says what to type.
{ carried }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  binary = config.hive.medium.setup;
  unattended = lib.any (c: c.manifest.plan.unattended) carried;

  # Called by another name, it is the command of that name.
  program = pkgs.runCommand "nixos-staged-hive-setup" { } ''
    mkdir -p $out/bin
    for name in nixos-staged-hive setup pre-setup post-setup disko-format; do
      ln -s ${builtins.storePath binary} $out/bin/$name
    done
  '';

  instructions = lib.concatMapStrings (
    c: "\nTo install ${c.host.name}:\n" + lib.concatMapStrings (line: "  ${line}\n") c.byHand
  ) carried;
  byHand = pkgs.writeShellScriptBin "setup" ''
    cat ${
      pkgs.writeText "instructions" ''
        This medium was built without the program of nixos-staged-hive. It does nothing by itself, and these commands check
        nothing: look twice at the disks before you format them.
        ${instructions}
        `nixos-staged-hive install` makes a medium that finds the disks, asks before it destroys anything and proves what it did.
      ''
    }
  '';

  service =
    description: more:
    lib.recursiveUpdate {
      inherit description;
      wantedBy = [ "multi-user.target" ];
      # the same programs that whoever types `setup` has, and those of hive.setup.scripts
      path = [
        "/run/wrappers"
        "/run/current-system/sw"
      ];
    } more;
  setup = words: "${program}/bin/setup ${words}";
  keys = "nixos-staged-hive-keys.service";
in
{
  environment.systemPackages = [ (if binary == null then byHand else program) ] ++ lib.concatMap (c: c.commands) carried;

  services.getty.helpLine = lib.mkForce "Type `setup` to install a host from this medium.";
  # The first screen is the program's; the others, and logins over ssh, are shells.
  environment.loginShellInit = ''
    if [ "$(tty)" = /dev/tty1 ] && [ -z "''${NIXOS_STAGED_HIVE_CONSOLE-}" ]; then
      export NIXOS_STAGED_HIVE_CONSOLE=1
      setup console || true
    fi
  '';

  systemd.services = lib.mkIf (binary != null) (
    {
      nixos-staged-hive-keys = service "Host keys and secrets of this installation medium" {
        before = [
          "sshd.service"
          "sshd.socket"
          "sshd-keygen.service"
        ];
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = setup "keys";
        };
      };
      nixos-staged-hive-announce = service "Announce this installation medium on the network" {
        after = [
          keys
          "network.target"
        ];
        serviceConfig = {
          ExecStart = setup "announce";
          Restart = "always";
          RestartSec = 5;
        };
      };
    }
    // lib.optionalAttrs unattended {
      # Not started again: whatever ended it is for a person to look at.
      nixos-staged-hive-unattended = service "Install a host without being asked" {
        wants = [ "systemd-udev-settle.service" ];
        after = [
          keys
          "systemd-udev-settle.service"
        ];
        serviceConfig = {
          Type = "exec";
          ExecStart = setup "run --unattended";
        };
      };
    }
  );
}
