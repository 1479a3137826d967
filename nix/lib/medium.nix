# What an installation medium carries for one host: the closure of its mini system, disko's scripts, its configuration, and what
# setup has to know of it. The shape of `manifest` is internal/hive.MediumHost.
{
  tree, # the generated folder
  hosts, # ./hosts.nix of it
  name, # the host
  alone, # it is the only host on the medium
  miniModules, # further modules of the mini system
  lib,
  pkgs, # of the medium
}:
let
  read = file: builtins.fromJSON (builtins.readFile (tree + "/${name}/${file}"));
  document = read "medium.json";
  ports = document.plan.sshPorts;
  host = read "host.json" // {
    sshPorts = if ports == null then [ ] else ports;
  };

  full = hosts.evaluate name [ ];
  setup = full.config.hive.setup;
  mini = hosts.plain name ([ (tree + "/${name}/mini_sys.nix") ] ++ miniModules);
  toplevel = mini.config.system.build.toplevel;

  # What is only mounted is in no script that formats. Without such disks the host need not be evaluated once more.
  formatting = if full.config.hive.partitioning.additional == { } then full else hosts.formatting name;
  script = configuration: n: if host.diskLayout then "${configuration.config.system.build.${n}}" else "";

  shell = n: lines: pkgs.writeShellScript n (lib.concatStringsSep "\n" ([ "set -euo pipefail" ] ++ place ++ lines));
  # Scripts find the files of their host where they are on a medium of one host.
  place = lib.optionals (!alone) [
    "mkdir -p /etc/nixos"
    "ln -sfnT ${configuration}/files /etc/nixos/files"
  ];

  # Copied and not linked: it becomes /etc/nixos of a machine whose store need not have these files.
  configuration = pkgs.runCommand "configuration" { } (
    ''
      mkdir -p $out/files
      cp ${tree + "/${name}/mini_sys.nix"} $out/configuration.nix
      cp ${tree + "/${name}/host.json"} $out/host.json
    ''
    + lib.optionalString (host.miniModules != [ ]) ''
      cp -r ${tree + "/${name}/modules"} $out/modules
    ''
    + lib.concatMapStrings (f: ''
      cp -r ${f} $out/files/${lib.escapeShellArg (baseNameOf (toString f))}
    '') setup.files
  );

  # The modules of the initrd with all they depend on, by the derivation that NixOS makes its initrd of (24.05:
  # boot/stage-1.nix and boot/systemd/initrd.nix). Dashes are underscores, as in /sys/module.
  initrd = mini.pkgs.makeModulesClosure {
    rootModules = mini.config.boot.initrd.availableKernelModules ++ mini.config.boot.initrd.kernelModules;
    kernel = mini.config.system.modulesTree;
    firmware = mini.config.hardware.firmware;
    allowMissing = mini.config.boot.initrd.allowMissingModules or false;
  };
  initrdModules = pkgs.runCommand "initrd-modules" { } ''
    touch $out
    if [ -d ${initrd}/lib/modules ]; then
      find ${initrd}/lib/modules -name '*.ko*' | sed -e 's|.*/||' -e 's|\.ko.*||' -e 's|-|_|g' | sort -u > $out
    fi
  '';

  command =
    s:
    if lib.isDerivation s then
      s
    else
      pkgs.runCommand "script-${baseNameOf (toString s)}" { } ''
        mkdir -p $out/bin
        cp ${s} $out/bin/${lib.escapeShellArg (baseNameOf (toString s))}
        chmod +x $out/bin/*
      '';

  manifest = {
    inherit name;
    inherit (document) plan planHash;
    toplevel = "${toplevel}";
    closure = "${pkgs.closureInfo { rootPaths = [ toplevel ]; }}";
    configuration = "${configuration}";
    preScript = "${shell "pre-setup" setup.preScript}";
    postScript = "${shell "post-setup" setup.postScript}";
    scripts = {
      format = script formatting "formatScript";
      mount = script full "mountScript";
    };
    initrdModules = [ "${initrdModules}" ]; # the file is read when the manifest is built, see ../stages/iso.nix
    modulesFolder = "${toplevel}/kernel-modules/lib/modules";
  };

  account = full.config.users.users.${host.deployer.name};
  # Options that some release does not have, or throws away, are not set; neither is a locked password.
  secret =
    option:
    let
      value = builtins.tryEval (account.${option} or null);
    in
    if value.success && !(builtins.elem value.value [ null "" "!" "*" ]) then builtins.unsafeDiscardStringContext (toString value.value) else null;
  first = lib.findFirst (v: v != null) null;
in
{
  inherit
    host
    manifest
    configuration
    initrdModules
    ;
  inherit (document) schema;
  commands = map command setup.scripts;

  # How the deployer's password is set, as NixOS weighs the options: a file, a hash, or the word itself. Files are not read.
  password = {
    inherit name;
    user = host.deployer.name;
    file = first (map secret [ "hashedPasswordFile" "passwordFile" ]);
    hash = first (map secret [ "hashedPassword" "initialHashedPassword" ]);
    word = first (map secret [ "password" "initialPassword" ]);
  };

  # What somebody types who installs the host without our program.
  byHand =
    let
      selected = builtins.filter (d: d.selector != d.selector // lib.mapAttrs (_: _: "") d.selector) document.plan.storage.disks;
      links = lib.concatMap (d: [ "ln -s /dev/disk/by-id/... /run/nixos-staged-hive/disk/${d.name}" ]) selected;
    in
    [ manifest.preScript ]
    ++ lib.optionals (selected != [ ]) ([ "mkdir -p /run/nixos-staged-hive/disk" ] ++ links)
    ++ lib.optionals host.diskLayout [
      "${manifest.scripts.format}   # formats what is blank of the disks above"
      manifest.scripts.mount
    ]
    ++ lib.optional (!host.diskLayout) "mount ... /mnt   # the file systems of the host; none is laid out by disko"
    ++ [
      "nixos-install --root /mnt --system ${manifest.toplevel} --no-root-passwd --no-channel-copy --substituters ''"
      "cp -rT ${manifest.configuration} /mnt/etc/nixos"
      manifest.postScript
    ];
}
