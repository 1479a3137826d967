# Language, keyboard, time.
{ config, lib, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on accept;
  locales = config.i18n;
  word = types.addCheck types.str (s: builtins.match "[^ ]*" s != null) // { description = "string without spaces"; };
in
{
  options = {
    i18n = {
      defaultLocale = opt types.str "en_US.UTF-8";
      extraLocaleSettings = opt (types.attrsOf types.str) { };
      supportedLocales = opt (types.listOf types.str) null // {
        default = lib.unique (
          map (l: (builtins.replaceStrings [ "utf8" "utf-8" "UTF8" ] [ "UTF-8" "UTF-8" "UTF-8" ] l) + "/UTF-8") (
            [ "C.UTF-8" "en_US.UTF-8" locales.defaultLocale ]
            ++ builtins.attrValues (builtins.removeAttrs locales.extraLocaleSettings [ "LANGUAGE" ])
          )
        );
      };
      inputMethod = accept;
    };
    console = {
      enable = on;
      earlySetup = off;
      useXkbConfig = off;
      keyMap = opt (types.either types.str types.path) "us";
      font = opt (types.nullOr (types.either types.str types.path)) null;
      packages = opt (types.listOf types.package) [ ];
      colors = opt (types.listOf (types.strMatching "[[:xdigit:]]{6}")) [ ];
    };
    time = {
      timeZone = opt (types.nullOr word) null;
      hardwareClockInLocalTime = off;
    };
    location = accept;
  };
  config.environment.etc = {
    "locale.conf".text = "LANG=${locales.defaultLocale}\n" + lib.concatStrings (lib.mapAttrsToList (n: v: "${n}=${v}\n") locales.extraLocaleSettings);
    "vconsole.conf".text = "KEYMAP=${toString config.console.keyMap}\n";
  };
}
