# The folders of Debian's file system that its programs look into, as one tree of links.
{
  config,
  lib,
  pkgs,
}:
let
  systemd = config.systemd.package;
  grub = pkgs.grub2;

  # their programs are called as /bin/NAME or /sbin/NAME
  programs = [
    systemd
    pkgs.bash
    pkgs.dosfstools
    pkgs.e2fsprogs
    pkgs.iproute2
    pkgs.kmod
    pkgs.util-linux
  ];

  links = {
    "lib/locale" = "${config.i18n.glibcLocales}/lib/locale";
    "lib/modules" = "/run/booted-system/kernel-modules/lib/modules";
    "lib/systemd" = "${systemd}/lib/systemd";
    "lib/udev" = "${systemd}/lib/udev";
    "lib/security" = "${pkgs.linux-pam}/lib/security";
    "lib/terminfo" = "${pkgs.ncurses}/lib/terminfo";
    "lib/x86_64-linux-gnu/gconv" = "${pkgs.stdenv.lab.libs}/lib/gconv";
    "lib/x86_64-linux-gnu/xtables" = "${pkgs.iptables}/lib/xtables";
    "bin/dbus-daemon" = "${pkgs.dbus}/bin/dbus-daemon";
    "bin/unix_chkpwd" = "/run/wrappers/bin/unix_chkpwd";
    "share/dbus-1" = "/etc/dbus-1";
    "share/zoneinfo" = "/etc/zoneinfo";
  }
  // lib.optionalAttrs config.boot.loader.grub.enable {
    "lib/grub" = "${grub}/lib/grub";
    "share/grub" = "${grub}/share/grub";
  }
  // lib.optionalAttrs config.security.sudo.enable { "libexec/sudo" = "${pkgs.sudo}/libexec/sudo"; }
  // lib.optionalAttrs config.security.polkit.enable {
    "libexec/polkit-agent-helper-1" = "/run/wrappers/bin/polkit-agent-helper-1";
    "share/polkit-1" = "/run/current-system/sw/share/polkit-1";
  };
in
pkgs.runCommand "debian-file-system"
  {
    inherit programs;
    links = lib.mapAttrsToList (name: target: "${name}=${target}") links;
  }
  ''
    mkdir -p $out/{bin,lib,libexec,share}
    ln -s bin $out/sbin
    for program in $programs; do ln -sf -t $out/bin $program/bin/*; done
    # these two are NixOS' own
    rm -f $out/bin/sh $out/bin/env
    for link in $links; do
      mkdir -p $out/$(dirname ''${link%%=*})
      ln -sfn ''${link#*=} $out/''${link%%=*}
    done
  ''
