# facts: what evaluation says about one host, as data. The shape is internal/hive.Host.
{
  name,
  definition, # relative to the workspace
  nixpkgs, # store path of the pinned source, as text
  diskoVersion ? "",
  deep ? true, # NixOS' own assertions and warnings too: they evaluate every service and cost more than all the rest
  without ? [ ],
  host, # result of ./host.nix
  baseModules,
}:
let
  inherit (host) config options pkgs;
  lib = host.lib or pkgs.lib;
  inherit (lib)
    attrByPath
    attrNames
    attrValues
    concatMap
    filter
    filterAttrs
    hasPrefix
    isOption
    mapAttrsToList
    optional
    ;
  data = import ./data.nix { inherit lib; };
  carry = import ./carry.nix {
    inherit
      lib
      config
      options
      pkgs
      baseModules
      ;
  };

  optionDefault = (lib.mkOptionDefault null).priority;
  isSet =
    path:
    let
      option = attrByPath path null options;
    in
    option != null && isOption option && (option.highestPrio or optionDefault) < optionDefault;
  get = path: default: attrByPath path default config;
  # A value that may throw because it was never set.
  try =
    default: v:
    let
      r = builtins.tryEval (builtins.deepSeq v v);
    in
    if r.success then r.value else default;
  text = v: if v == null then "" else data.text v;

  # ---- people ----
  passwordKinds = [
    "hashedPassword"
    "hashedPasswordFile"
    "initialHashedPassword"
    "initialPassword"
    "password"
    "passwordFile"
  ];
  locked = [
    null
    "!"
    "*"
    ""
  ];
  hasPassword = u: lib.any (k: !(builtins.elem (try null (u.${k} or null)) locked)) passwordKinds;
  keysOf =
    u:
    u.openssh.authorizedKeys.keys
    ++ concatMap (f: lib.splitString "\n" (try "" (builtins.readFile f))) u.openssh.authorizedKeys.keyFiles;
  cleanKeys = keys: filter (k: k != "" && !(hasPrefix "#" k)) (map (lib.removeSuffix "\n") keys);
  person = u: keysOf u != [ ] || (u.isNormalUser || u.name == "root") && hasPassword u;
  inWheel = u: builtins.elem "wheel" u.extraGroups || u.group == "wheel" || builtins.elem u.name (config.users.groups.wheel.members or [ ]);
  people = filter person (attrValues config.users.users);
  user = u: {
    inherit (u) name;
    wheel = inWheel u;
    keys = cleanKeys (keysOf u);
    hasPassword = hasPassword u;
  };

  adminCfg = config.hive.admin;
  adminHasPassword = adminCfg.hashedPassword != null || adminCfg.hashedPasswordFile != null;
  adminDeclared = adminCfg.sshKeys != [ ] || adminHasPassword;

  root = user config.users.users.root;
  wheelWithKeys = filter (u: u.wheel && u.keys != [ ]) (map user people);
  administrator =
    if adminDeclared then
      user config.users.users.${adminCfg.name}
    else if wheelWithKeys != [ ] then
      lib.head wheelWithKeys
    else
      root;
  # Whom deployment.targetUser names, if that is an account with keys.
  chosen =
    let
      name = if isSet [ "deployment" "targetUser" ] then config.deployment.targetUser else null;
      account = config.users.users.${name} or null;
    in
    if name == null || account == null || keysOf account == [ ] then null else user account;
  rootMayLogIn = root.keys != [ ] && !(builtins.elem rootLogin [ "no" false ]);
  # Where nobody can answer sudo, ../modules/ssh.nix has opened root to the administrator's keys.
  deployerUser =
    if chosen != null then
      chosen
    else if sudo administrator == "none" && rootMayLogIn then
      root
    else
      administrator;
  trusted = get [ "nix" "settings" "trusted-users" ] [ "root" ];
  sudoOn = get [ "security" "sudo" "enable" ] false || get [ "security" "sudo-rs" "enable" ] false || get [ "security" "doas" "enable" ] false;
  # the tool that is on decides; wheelNeedsPassword is the same option in each
  nopasswd = lib.any (
    tool: get [ "security" tool "enable" ] false && !(get [ "security" tool "wheelNeedsPassword" ] true)
  ) [ "sudo" "sudo-rs" "doas" ];
  sudo =
    u:
    if u.name == "root" then
      "root"
    else if !sudoOn || !u.wheel then
      "none"
    else if nopasswd then
      "nopasswd"
    else if u.hasPassword then
      "password"
    else
      "none";

  # ---- ssh and firewall ----
  ssh = config.services.openssh;
  sshSetting = n: old: default: ssh.settings.${n} or ssh.${old} or default;
  firewall = {
    enable = config.networking.firewall.enable;
    tcp = config.networking.firewall.allowedTCPPorts;
    udp = config.networking.firewall.allowedUDPPorts;
  };
  # A port may be opened for one card only, or a card be trusted whole: then somebody thought about it.
  open =
    port:
    builtins.elem port firewall.tcp
    || lib.any (r: r.from <= port && port <= r.to) (get [ "networking" "firewall" "allowedTCPPortRanges" ] [ ])
    || lib.any (i: builtins.elem port i.allowedTCPPorts) (attrValues (get [ "networking" "firewall" "interfaces" ] { }))
    || filter (i: i != "lo") (get [ "networking" "firewall" "trustedInterfaces" ] [ ]) != [ ];
  rootLogin = sshSetting "PermitRootLogin" "permitRootLogin" "prohibit-password";

  # ---- network ----
  hn = config.hive.network;
  managed = hn.address != [ ];
  dhcpOf =
    v:
    if v == true || v == "yes" || v == "true" || v == "both" then
      "yes"
    else if v == "ipv4" || v == "v4" then
      "ipv4"
    else if v == "ipv6" || v == "v6" then
      "ipv6"
    else
      "";
  managedInterface =
    let
      layered = filter (l: l.name != null) [
        {
          kind = "vlan";
          name = if hn.vlan == null then null else "vlan${toString hn.vlan}";
        }
        {
          kind = "bridge";
          name = hn.bridge;
        }
        {
          kind = "macvlan";
          name = hn.macvlan;
        }
      ];
      top = if layered == [ ] then null else lib.last layered;
      below = if builtins.length layered > 1 then (builtins.elemAt layered (builtins.length layered - 2)).name else text hn.interface;
    in
    {
      name = if top == null then text hn.interface else top.name;
      mac = if hn.match.mac == null then "" else lib.toLower hn.match.mac;
      kind = if top == null then "ethernet" else top.kind;
      parent = if top == null then "" else below;
      vlan = if hn.vlan == null then 0 else hn.vlan;
      dhcp = if builtins.elem "dhcp" hn.address then "yes" else "";
      addresses = filter (a: a != "dhcp") hn.address;
    };

  scripted = config.networking.interfaces;
  virtualKind =
    n:
    if config.networking.vlans ? ${n} then
      {
        kind = "vlan";
        parent = config.networking.vlans.${n}.interface;
        vlan = config.networking.vlans.${n}.id;
      }
    else if config.networking.bridges ? ${n} then
      {
        kind = "bridge";
        parent = lib.concatStringsSep " " config.networking.bridges.${n}.interfaces;
        vlan = 0;
      }
    else if config.networking.macvlans ? ${n} then
      {
        kind = "macvlan";
        parent = config.networking.macvlans.${n}.interface;
        vlan = 0;
      }
    else if config.networking.bonds ? ${n} then
      {
        kind = "bond";
        parent = lib.concatStringsSep " " config.networking.bonds.${n}.interfaces;
        vlan = 0;
      }
    else
      {
        kind = if hasPrefix "wl" n then "wireless" else "ethernet";
        parent = "";
        vlan = 0;
      };
  scriptedInterface =
    n: i:
    virtualKind n
    // {
      name = i.name or n;
      mac = text (i.macAddress or null);
      dhcp = if i.useDHCP == true || (i.useDHCP == null && config.networking.useDHCP && i.ipv4.addresses == [ ]) then "yes" else "";
      addresses = map (a: "${a.address}/${toString a.prefixLength}") (i.ipv4.addresses ++ i.ipv6.addresses);
    };

  networkdInterface =
    n: net:
    let
      m = net.matchConfig or { };
      many = v: if v == null then [ ] else lib.toList v;
      first = v: if many v == [ ] then "" else toString (lib.head (many v));
      sections = map (a: a.Address or a.addressConfig.Address or "") net.addresses;
      linkName = first (m.Name or net.name or null);
      dev = lib.findFirst (d: (d.netdevConfig.Name or "") == linkName) null (attrValues config.systemd.network.netdevs);
      kind = if dev == null then (if hasPrefix "wl" linkName then "wireless" else "ethernet") else dev.netdevConfig.Kind;
    in
    {
      name = linkName;
      mac = lib.toLower (first (m.MACAddress or m.PermanentMACAddress or null));
      kind = if builtins.elem kind [ "ethernet" "wireless" "vlan" "bridge" "macvlan" "bond" ] then kind else "other";
      parent = "";
      vlan = if kind == "vlan" then dev.vlanConfig.Id or 0 else 0;
      dhcp = dhcpOf (if net.DHCP or null != null then net.DHCP else net.networkConfig.DHCP or "");
      addresses = filter (a: a != "") ((net.address or [ ]) ++ many (net.networkConfig.Address or null) ++ sections);
    };
  wanted = i: i.dhcp != "" || i.addresses != [ ];
  # nixpkgs' own fallback units match every card; they say nothing about this machine
  userNetworks = filterAttrs (n: _: !(hasPrefix "99-" n)) config.systemd.network.networks;
  interfaces =
    if managed then
      [ managedInterface ] ++ extraInterfaces
    else if config.systemd.network.enable && userNetworks != { } then
      filter wanted (mapAttrsToList networkdInterface userNetworks)
    else
      filter wanted (mapAttrsToList scriptedInterface scripted);
  extraInterfaces = filter wanted (
    mapAttrsToList networkdInterface (filterAttrs (n: _: !(lib.hasSuffix "-hive" n)) userNetworks)
  );
  anyCard = {
    name = "";
    mac = "";
    kind = "ethernet";
    parent = "";
    vlan = 0;
    dhcp = "yes";
    addresses = [ ];
  };

  gatewayAddress = g: if g == null || g == "" then [ ] else if builtins.isString g then [ g ] else optional (g.address or "" != "" && g.address or null != null) g.address;
  gateways =
    if managed then
      hn.gateway
    else
      lib.unique (
        gatewayAddress config.networking.defaultGateway
        ++ gatewayAddress config.networking.defaultGateway6
        ++ concatMap (
          net: filter (g: !(hasPrefix "_" g)) ((net.gateway or [ ]) ++ lib.toList (net.networkConfig.Gateway or [ ]))
        ) (attrValues userNetworks)
      );
  nameservers = lib.unique (
    (if managed then hn.nameservers else [ ])
    ++ config.networking.nameservers
    ++ concatMap (net: (net.dns or [ ]) ++ lib.toList (net.networkConfig.DNS or [ ])) (attrValues userNetworks)
  );

  # The mini system runs networkd. A host that does not is evaluated once more as if it did, so that nixpkgs itself
  # translates its settings; NetworkManager and scripts have nothing else that could be carried.
  asNetworkd =
    if config.systemd.network.enable then
      config
    else
      (host.extendModules {
        modules = [
          {
            networking.useNetworkd = lib.mkForce true;
            systemd.network.enable = lib.mkForce true;
          }
        ];
      }).config;
  units = lib.mapAttrs (_: u: text u.text) (
    filterAttrs (_: u: (u.enable or true) && (u.text or null) != null) asNetworkd.systemd.network.units
  );

  # ---- boot ----
  loader = config.boot.loader;
  grub = loader.grub.enable or false;
  sdboot = loader.systemd-boot.enable or false;
  extlinux = loader.generic-extlinux-compatible.enable or false;
  otherLoader = loader.external.enable or false || loader.initScript.enable or false || loader.raspberryPi.enable or false;
  mirrored = loader.grub.mirroredBoots or [ ];
  grubDevices = filter (d: d != "nodev") (lib.unique (loader.grub.devices ++ concatMap (m: m.devices) mirrored));
  firmwareKind =
    if sdboot then
      "uefi"
    else if grub then
      (
        if loader.grub.efiSupport && grubDevices != [ ] then
          "both"
        else if loader.grub.efiSupport then
          "uefi"
        else
          "bios"
      )
    else if extlinux then
      "board"
    else
      "unknown";
  usesESP = builtins.elem firmwareKind [ "uefi" "both" ];
  fsNames =
    v: if builtins.isAttrs v then attrNames (filterAttrs (_: on: on) v) else v;

  # ---- storage ----
  fileSystem = m: fs: {
    mountPoint = m;
    device = text (if fs.device or null != null then fs.device else if fs.label or null != null then "/dev/disk/by-label/${fs.label}" else null);
    type = fs.fsType;
    options = map text fs.options;
    neededForBoot = fs.neededForBoot || builtins.elem m [ "/" "/nix" "/nix/store" "/var" "/var/log" "/var/lib" "/var/lib/nixos" "/etc" "/usr" ];
  };
  hasDisko = options ? disko;
  devices = if hasDisko then config.disko.devices else { };
  contentOf =
    c:
    if c == null then
      {
        content = "";
        format = "";
        mountPoint = "";
        pool = "";
      }
    else if c.type == "luks" then
      let
        inner = contentOf (c.content or null);
      in
      inner // { content = "luks"; format = if inner.format != "" then inner.format else inner.content; }
    else
      {
        content = c.type;
        format = text (c.format or (if c.type == "btrfs" then "btrfs" else null));
        mountPoint = text (
          if c.mountpoint or null != null then
            c.mountpoint
          else if c.type == "btrfs" then
            lib.concatStringsSep " " (filter (m: m != "") (mapAttrsToList (_: s: text (s.mountpoint or null)) (c.subvolumes or { })))
          else
            null
        );
        pool = text (c.pool or c.vg or (if c.type == "mdraid" then c.name else null));
      };
  partition = n: p: {
    name = n;
    label = text (p.label or p.name or n);
    size = text (p.size or p.end or "");
    type = text (p.type or "");
    number = p._index or 0;
    start = text (p.start or null);
    end = text (p.end or null);
    alignment = p.alignment or 0;
  } // contentOf (p.content or null);
  partitionsOf =
    c:
    if c == null then
      [ ]
    else if c.type == "gpt" then
      mapAttrsToList partition c.partitions
    else if c.type == "table" then
      map (p: partition p.name p) c.partitions
    else
      [
        (
          {
            name = "";
            label = "";
            size = "100%";
            type = "";
            number = 0;
            start = "";
            end = "";
            alignment = 0;
          }
          // contentOf c
        )
      ];
  formatted = config.hive.partitioning.format.disk or { };
  extra = config.hive.partitioning.additional.disk or { };
  selectors = config.hive.partitioning.disks;
  selector = n: lib.genAttrs [ "serial" "wwn" "byId" "size" ] (k: text (selectors.${n}.${k} or null));
  disk = n: d: {
    name = n;
    device = text d.device;
    selector = selector n;
    additional = extra ? ${n} && !(formatted ? ${n});
    table = text (d.content.type or null);
    partitions = partitionsOf (d.content or null);
  };
  poolsOf = kind: mapAttrsToList (n: _: {
    name = n;
    inherit kind;
  }) (devices.${kind} or { });

  # ---- deployment ----
  dep = config.deployment;
  sources = k: filter (s: k.${s} or null != null) [ "text" "keyFile" "keyCommand" ];
  key = _: k: {
    inherit (k) name user group permissions uploadAt;
    destDir = text k.destDir;
    source =
      let
        s = sources k;
      in
      if s == [ ] then "none" else if builtins.length s > 1 then "several" else lib.head s;
    inStore = k.keyFile or null != null && (builtins.isPath k.keyFile || hasPrefix builtins.storeDir (text k.keyFile));
  };
  # Somebody's own declaration of `deployment` need not have all of Colmena's options.
  deployment = {
    targetHost = dep.targetHost or name;
    targetPort = dep.targetPort or null;
    targetUser = if isSet [ "deployment" "targetUser" ] then dep.targetUser else deployerUser.name;
    allowLocalDeployment = dep.allowLocalDeployment or false;
    buildOnTarget = dep.buildOnTarget or false;
    tags = dep.tags or [ ];
    keys = mapAttrsToList key (dep.keys or { });
    replaceUnknownProfiles = dep.replaceUnknownProfiles or true;
    privilegeEscalationCommand = dep.privilegeEscalationCommand or [ ];
    sshOptions = dep.sshOptions or [ ];
    inherit rollout;
  };
  ours = config.hive.deployment;
  number = n: if n == null then 0 else n;
  rollout = {
    inherit (ours) after group maxUnavailable canary bootGuard;
    checks = mapAttrsToList (n: c: {
      name = n;
      command = if c.command == null then [ ] else c.command;
      inherit (c) root attempts;
      url = text c.url;
      status = number c.status;
      timeoutSeconds = c.timeout;
    }) ours.checks;
    activationSeconds = number ours.timeouts.activation;
    confirmSeconds = number ours.timeouts.confirm;
    rebootSeconds = number ours.timeouts.reboot;
  };
  # Colmena cannot address IPv6 literals, and a host with DHCP is not reached at the address of its container bridge: its
  # name is the better guess in both cases.
  candidates = if managed then [ managedInterface ] else interfaces;
  firstAddress =
    if lib.any (i: i.dhcp != "") candidates then
      null
    else
      lib.findFirst (a: !(lib.hasInfix ":" a)) null (
        map (a: lib.head (lib.splitString "/" a)) (concatMap (i: i.addresses) candidates)
      );
  targetHost =
    if isSet [ "deployment" "targetHost" ] then
      deployment.targetHost
    else if firstAddress != null then
      firstAddress
    else
      config.networking.hostName;

  # ---- secrets that would be readable in the store ----
  plain = [ "password" "initialPassword" "hashedPassword" "initialHashedPassword" ];
  userSecrets = concatMap (
    u: map (k: "users.users.${u.name}.${k}") (filter (k: !(builtins.elem (try null (u.${k} or null)) locked)) plain)
  ) (attrValues config.users.users);
  keySecrets = mapAttrsToList (n: _: "deployment.keys.${n}.text") (
    filterAttrs (_: k: k.text or null != null) (dep.keys or { })
  );
  wifi = concatMap (
    ssid: optional ((config.networking.wireless.networks.${ssid}.psk or null) != null) "networking.wireless.networks.${ssid}.psk"
  ) (attrNames (get [ "networking" "wireless" "networks" ] { }));
  k3sToken = optional (get [ "services" "k3s" "token" ] "" != "") "services.k3s.token";

  setup = config.hive.setup;
  scriptName = s: if s ? outPath || builtins.isAttrs s then text (s.meta.mainProgram or s.name or s.pname or (baseNameOf (text s))) else text (baseNameOf (toString s));
in
{
  inherit name definition;
  hostName = config.networking.hostName;
  domain = text config.networking.domain;
  hostId = text config.networking.hostId;
  system = pkgs.stdenv.hostPlatform.system;
  stateVersion = if isSet [ "system" "stateVersion" ] then config.system.stateVersion else "";
  nixos = {
    release = config.system.nixos.release or (lib.versions.majorMinor lib.version);
    version = text config.system.nixos.version;
    inherit nixpkgs;
  };
  admin = {
    declared = adminDeclared;
    name = adminCfg.name;
    keys = cleanKeys adminCfg.sshKeys;
    hasPassword = adminHasPassword;
  };
  deployer = {
    inherit (deployerUser) name keys;
    trusted = deployerUser.name == "root" || lib.any (t: t == deployerUser.name || t == "*" || (t == "@wheel" && deployerUser.wheel)) trusted;
    sudo = sudo deployerUser;
  };
  users = map user people;
  ssh = {
    enable = ssh.enable;
    ports = ssh.ports;
    rootLogin = if builtins.isBool rootLogin then (if rootLogin then "yes" else "no") else text rootLogin;
    passwordAuth = sshSetting "PasswordAuthentication" "passwordAuthentication" true;
    reachable = !firewall.enable || lib.all open ssh.ports;
  };
  network = {
    inherit
      managed
      gateways
      nameservers
      firewall
      units
      ;
    backend =
      if get [ "networking" "networkmanager" "enable" ] false && !managed then
        "networkmanager"
      else if config.systemd.network.enable then
        "networkd"
      else
        "scripted";
    interfaces = if interfaces == [ ] && config.networking.useDHCP then [ anyCard ] else interfaces;
    search = lib.unique ((if managed then hn.search else [ ]) ++ config.networking.search);
    hostsEntry = config.hive.hosts.enable;
  };
  boot = {
    loader =
      if sdboot then
        "systemd-boot"
      else if grub then
        "grub"
      else if extlinux then
        "extlinux"
      else if otherLoader then
        "custom"
      else
        "none";
    firmware = firmwareKind;
    esp = if usesESP then loader.efi.efiSysMountPoint else "";
    touchVariables = loader.efi.canTouchEfiVariables;
    removable = loader.grub.efiInstallAsRemovable or false && grub;
    grubDevices = if grub then grubDevices else [ ];
    kernel = config.boot.kernelPackages.kernel.version;
    kernelAttribute = text carry.kernel;
    customLoader = setup.bootLoader != null;
    supportedFileSystems = fsNames config.boot.supportedFilesystems;
  };
  storage = {
    fileSystems = mapAttrsToList fileSystem config.fileSystems;
    swap = map (s: { device = text s.device; }) config.swapDevices;
    luks = mapAttrsToList (n: l: {
      name = n;
      device = text l.device;
    }) config.boot.initrd.luks.devices;
    # without disko, a disk that is chosen by what it is would otherwise not be heard of
    disks = mapAttrsToList disk (lib.mapAttrs (n: _: { device = ""; }) selectors // devices.disk or { });
    pools = poolsOf "zpool" ++ poolsOf "lvm_vg" ++ poolsOf "mdadm";
    disko = {
      enable = hasDisko && (devices.disk or { }) != { } && config.disko.enableConfig;
      version = diskoVersion;
      own = builtins.elem "disko" without && hasDisko;
    };
  };
  setup = {
    inherit (setup)
      preScript
      postScript
      unattended
      match
      ;
    files = map (f: text (baseNameOf (toString f))) setup.files;
    scripts = map scriptName setup.scripts;
    miniModules = map text config.hive.mini.modules;
  };
  deployment = deployment // {
    inherit targetHost;
  };
  member = null;
  storeSecrets = userSecrets ++ keySecrets ++ wifi ++ k3sToken;
  checked = deep;
  warnings = if deep then config.warnings else [ ];
  assertions = if deep then map (a: a.message) (filter (a: !a.assertion) config.assertions) else [ ];
  inherit (carry) losses carried;
  inherit without;
}
