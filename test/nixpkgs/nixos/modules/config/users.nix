# Users and groups.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkIf mkMerge types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on sub need accept;
  cfg = config.users;
  entry = types.passwdEntry types.str;
  secret = opt (types.nullOr types.str) null;

  user =
    { name, config, ... }:
    {
      options = {
        name = need entry;
        uid = opt (types.nullOr types.int) null;
        description = opt entry "";
        isNormalUser = off;
        isSystemUser = off;
        group = opt types.str "";
        extraGroups = opt (types.listOf types.str) [ ];
        home = opt entry "/var/empty";
        homeMode = opt types.str "700";
        createHome = off;
        shell = opt (types.nullOr (types.either types.shellPackage entry)) pkgs.shadow;
        useDefaultShell = off;
        ignoreShellProgramCheck = off;
        linger = off;
        expires = opt (types.nullOr types.str) null;
        packages = opt (types.listOf types.package) [ ];
        subUidRanges = opt (types.listOf types.attrs) [ ];
        subGidRanges = opt (types.listOf types.attrs) [ ];
        autoSubUidGidRange = off;
        cryptHomeLuks = secret;
        pamMount = opt types.attrs { };
        hashedPassword = opt (types.nullOr entry) null;
        initialHashedPassword = opt (types.nullOr entry) null;
        password = secret;
        initialPassword = secret;
        hashedPasswordFile = opt (types.nullOr types.str) null // { default = config.passwordFile; };
        passwordFile = secret // { visible = false; };
        openssh.authorizedKeys = {
          keys = opt (types.listOf types.singleLineStr) [ ];
          keyFiles = opt (types.listOf types.path) [ ];
        };
        openssh.authorizedPrincipals = opt (types.listOf types.str) [ ];
      };
      config = mkMerge [
        {
          name = mkDefault name;
          shell = mkIf config.useDefaultShell (mkDefault cfg.defaultUserShell);
        }
        (mkIf config.isNormalUser {
          group = mkDefault "users";
          createHome = mkDefault true;
          home = mkDefault "/home/${config.name}";
          homeMode = mkDefault "700";
          useDefaultShell = mkDefault true;
          isSystemUser = mkDefault false;
          autoSubUidGidRange = mkDefault (config.subUidRanges == [ ] && config.subGidRanges == [ ]);
        })
      ];
    };
  group =
    { name, config, ... }:
    {
      options = {
        name = opt entry name;
        gid = opt (types.nullOr types.int) null;
        members = opt (types.listOf entry) [ ];
      };
      config.members = lib.mapAttrsToList (n: _: n) (lib.filterAttrs (_: u: builtins.elem config.name u.extraGroups) cfg.users);
    };

  system = group: uid: { inherit uid group; isSystemUser = true; };
  gids = {
    root = 0; wheel = 1; disk = 6; kmem = 2; tty = 3; floppy = 18; uucp = 19; lp = 20; cdrom = 24; tape = 25; audio = 17;
    video = 26; dialout = 27; utmp = 29; adm = 55; keys = 96; users = 100; nixbld = 30000; nogroup = 65534; input = 174;
    kvm = 302; render = 303; sgx = 304; shadow = 318; systemd-journal = 62; systemd-network = 152; systemd-resolve = 153;
  };

  canLogIn =
    u:
    (u.name == "root" || builtins.elem "wheel" u.extraGroups)
    && (
      builtins.any (p: p != null && p != "!" && p != "*") [ u.hashedPassword u.password ]
      || u.hashedPasswordFile != null
      || u.openssh.authorizedKeys.keys != [ ]
      || u.openssh.authorizedKeys.keyFiles != [ ]
      || (cfg.mutableUsers && (u.initialPassword != null || u.initialHashedPassword != null))
    );
in
{
  imports = [
    (lib.mkAliasOptionModule [ "users" "extraUsers" ] [ "users" "users" ])
    (lib.mkAliasOptionModule [ "users" "extraGroups" ] [ "users" "groups" ])
  ];
  options.users = {
    mutableUsers = on;
    enforceIdUniqueness = on;
    allowNoPasswordLogin = off;
    users = opt (types.attrsOf (types.submodule user)) { };
    groups = opt (types.attrsOf (types.submodule group)) { };
    defaultUserShell = need (types.either types.path types.shellPackage);
    motd = opt (types.nullOr types.lines) null;
    ldap = accept;
  };
  config = {
    users.defaultUserShell = mkDefault pkgs.bashInteractive;
    users.users = {
      root = {
        uid = 0;
        description = "System administrator";
        home = "/root";
        shell = mkDefault cfg.defaultUserShell;
        group = "root";
      };
      nobody = system "nogroup" 65534;
      systemd-network = system "systemd-network" 152;
      systemd-resolve = system "systemd-resolve" 153;
    };
    users.groups = builtins.mapAttrs (_: gid: { inherit gid; }) gids;
    warnings = lib.concatMap (
      u:
      let
        kinds = [ "hashedPassword" "password" "hashedPasswordFile" "initialPassword" "initialHashedPassword" ];
        hash = u.hashedPassword;
        # as mkpasswd prints it, or a lock; an empty one is no password
        valid = hash == null || hash == "" || builtins.match "\\$[[:alnum:]]+\\$.+\\$.+|[!*].*" hash != null;
      in
      lib.optional (lib.count (k: u.${k} != null) kinds > 1) ''
        The user '${u.name}' has multiple of the options
        `hashedPassword`, `password`, `hashedPasswordFile`, `initialPassword`
        & `initialHashedPassword` set to a non-null value.
        Only one of them counts.
      ''
      ++ lib.optional (!valid) "The password hash of user \"${u.name}\" may be invalid: see option `users.users.\"${u.name}\".hashedPassword`."
    ) (builtins.attrValues cfg.users);
    assertions = [
      {
        assertion = !cfg.mutableUsers -> (cfg.allowNoPasswordLogin || builtins.any canLogIn (builtins.attrValues cfg.users));
        message = "Neither the root account nor any wheel user has a password or SSH authorized key.\nNobody could log in. (users.allowNoPasswordLogin takes this check away.)";
      }
    ]
    ++ lib.concatMap (u: [
      {
        assertion = (u.isNormalUser && !u.isSystemUser) || (u.isSystemUser && !u.isNormalUser) || u.name == "root";
        message = "Exactly one of users.users.${u.name}.isSystemUser and users.users.${u.name}.isNormalUser must be set.\n";
      }
      {
        assertion = u.group != "";
        message = "users.users.${u.name}.group is unset. A user needs a group of its own.";
      }
    ]) (builtins.attrValues cfg.users);
  };
}
