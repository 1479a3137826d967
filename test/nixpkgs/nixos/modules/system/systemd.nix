# systemd: units are accepted in the usual shape and rendered to a line each.
{ config, lib, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on sub accept;
  strings = opt (types.listOf types.str) [ ];
  section = opt (types.attrsOf types.anything) { };
  unit = {
    enable = on;
    description = opt types.str "";
    documentation = strings;
    requires = strings;
    wants = strings;
    after = strings;
    before = strings;
    bindsTo = strings;
    partOf = strings;
    conflicts = strings;
    requiredBy = strings;
    wantedBy = strings;
    unitConfig = section;
    restartTriggers = opt (types.listOf types.unspecified) [ ];
    overrideStrategy = opt types.str "asDropinIfExists";
    startLimitIntervalSec = opt (types.nullOr types.int) null;
    startLimitBurst = opt (types.nullOr types.int) null;
    aliases = strings;
  };
  units = extra: opt (sub { options = unit // extra; }) { };
  service = {
    environment = opt (types.attrsOf (types.nullOr (types.oneOf [ types.str types.path types.package ]))) { };
    path = opt (types.listOf (types.nullOr (types.oneOf [ types.package types.str ]))) [ ];
    serviceConfig = section;
    script = opt types.lines "";
    scriptArgs = opt types.str "";
    preStart = opt types.lines "";
    postStart = opt types.lines "";
    preStop = opt types.lines "";
    postStop = opt types.lines "";
    reload = opt types.lines "";
    startAt = opt (types.coercedTo types.str lib.singleton (types.listOf types.str)) [ ];
    restartIfChanged = on;
    reloadIfChanged = off;
    stopIfChanged = on;
    confinement = accept;
  };
in
{
  options.systemd = {
    services = units service;
    timers = units { timerConfig = section; };
    paths = units { pathConfig = section; };
    sockets = units { socketConfig = section; listenStreams = strings; };
    targets = units { };
    slices = units { sliceConfig = section; };
    mounts = opt (types.listOf types.attrs) [ ];
    automounts = opt (types.listOf types.attrs) [ ];
    user.services = units service;
    tmpfiles.rules = strings;
    tmpfiles.settings = accept;
    packages = opt (types.listOf types.package) [ ];
    extraConfig = opt types.lines "";
    watchdog = accept;
    sleep.extraConfig = opt types.lines "";
    enableEmergencyMode = on;
    coredump.enable = on;
    oomd.enable = on;
    package = accept;
  };
  options.services = {
    journald = { extraConfig = opt types.lines ""; storage = opt types.str "persistent"; rateLimitBurst = opt types.int 10000; };
    logind = { lidSwitch = opt types.str "suspend"; extraConfig = opt types.lines ""; };
    timesyncd = { enable = on; servers = strings; };
    udev = { extraRules = opt types.lines ""; packages = opt (types.listOf types.package) [ ]; enable = on; };
  };
  config.environment.etc."systemd/system".text = lib.concatStrings (
    lib.mapAttrsToList (n: s: lib.optionalString s.enable "${n}.service ${s.description}\n") config.systemd.services
  );
}
