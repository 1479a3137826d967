# Documentation, programs, shells and desktops: on or off, and nothing behind it.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on accept;
  packages = opt (types.listOf types.package) [ ];
in
{
  options = {
    documentation = {
      enable = on;
      doc.enable = on;
      info.enable = on;
      dev.enable = off;
      man = { enable = on; generateCaches = off; man-db.enable = on; mandoc.enable = off; };
      nixos = {
        enable = on;
        includeAllModules = off;
        extraModules = opt (types.listOf types.raw) [ ];
        options.warningsAreErrors = on;
      };
    };
    fonts = { fontconfig.enable = on; packages = packages; enableDefaultPackages = off; };
    xdg = {
      autostart.enable = on;
      icons.enable = on;
      menus.enable = on;
      mime.enable = on;
      sounds.enable = on;
      portal.enable = off;
    };
    programs = {
      nano = { enable = on; nanorc = opt types.lines ""; };
      vim = { defaultEditor = off; enable = off; };
      neovim = { enable = off; defaultEditor = off; };
      command-not-found.enable = on;
      git = { enable = off; config = accept; };
      less.enable = off;
      ssh = { startAgent = off; extraConfig = opt types.lines ""; knownHosts = opt (types.attrsOf types.attrs) { }; };
      bash = {
        enableCompletion = on;
        completion.enable = on;
        shellAliases = opt (types.attrsOf types.str) { };
        interactiveShellInit = opt types.lines "";
      };
      zsh = { enable = off; autosuggestions.enable = off; ohMyZsh = accept; syntaxHighlighting.enable = off; };
      fish.enable = off;
      tmux.enable = off;
      mtr.enable = off;
      htop.enable = off;
      iotop.enable = off;
      gnupg.agent = accept;
      nix-ld.enable = off;
      mosh.enable = off;
      dconf.enable = off;
    };
    environment = {
      systemPackages = packages;
      defaultPackages = opt (types.listOf types.package) null // { default = [ pkgs.perl pkgs.rsync pkgs.strace ]; };
      noXlibs = off;
      variables = opt (types.attrsOf (types.oneOf [ types.str types.int types.path types.float (types.listOf types.str) ])) { };
      sessionVariables = opt (types.attrsOf types.anything) { };
      shellAliases = opt (types.attrsOf (types.nullOr types.str)) { };
      shells = opt (types.listOf (types.either types.shellPackage types.path)) [ ];
      shellInit = opt types.lines "";
      interactiveShellInit = opt types.lines "";
      loginShellInit = opt types.lines "";
      extraInit = opt types.lines "";
      pathsToLink = opt (types.listOf types.str) [ ];
      extraOutputsToInstall = opt (types.listOf types.str) [ ];
      binsh = opt types.path "/bin/sh";
      enableAllTerminfo = off;
      stub-ld.enable = off;
      gnome.excludePackages = packages;
    };
    sound.enable = off;
    qt = accept;
    gtk = accept;
  };
  config.environment.systemPackages =
    config.environment.defaultPackages
    ++ [ pkgs.coreutils pkgs.bashInteractive ]
    ++ lib.optional config.programs.git.enable pkgs.git;
}
