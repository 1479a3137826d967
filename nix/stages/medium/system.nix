# The system on a medium: who logs in, what it can drive and repair, and the identity and language of its hosts where all of them
# have the same.
{ hosts }:
{
  lib,
  options,
  pkgs,
  ...
}:
let
  all = field: lib.unique (map (h: h.${field}) hosts);
  # of one host, or of hosts that agree
  shared = field: lib.mkIf (builtins.length (all field) == 1 && !(builtins.elem (builtins.head (all field)) [ null "" ])) (lib.mkForce (builtins.head (all field)));
  fileSystems = lib.unique (builtins.concatMap (h: h.supportedFileSystems) hosts);
  has = path: lib.hasAttrByPath path options;
  setIf = path: value: lib.optionalAttrs (has path) (lib.setAttrByPath path value);

  ports = lib.unique ([ 22 ] ++ builtins.concatMap (h: h.sshPorts) hosts);
  login =
    name:
    let
      keys = lib.unique (builtins.concatMap (h: h.deployer.keys) (builtins.filter (h: name == "root" || h.deployer.name == name) hosts));
    in
    { openssh.authorizedKeys.keys = keys; };
  people = lib.unique (builtins.filter (n: n != "root") (map (h: h.deployer.name) hosts));
in
{
  config = lib.mkMerge [
    {
      system.nixos.variant_id = "installer";
      documentation.enable = lib.mkForce false;
      time.timeZone = shared "timeZone";
      i18n.defaultLocale = shared "locale";
      console.keyMap = shared "keyMap";
      networking.hostId = shared "hostId";

      # Whoever stands in front of the machine is root; over the network keys of the hosts' deployers are asked for.
      services.getty.autologinUser = lib.mkForce "root";
      services.openssh = {
        enable = true;
        inherit ports;
        settings = {
          PasswordAuthentication = lib.mkForce false;
          KbdInteractiveAuthentication = lib.mkForce false;
          PermitRootLogin = lib.mkForce "prohibit-password";
        };
      };
      users.users =
        lib.genAttrs people (
          n:
          login n
          // {
            isNormalUser = true;
            extraGroups = [ "wheel" ];
          }
        )
        // {
          # an empty password lets systemd's emergency shell open; sshd takes none
          root = login "root" // {
            initialHashedPassword = "";
          };
        };
      users.allowNoPasswordLogin = true;
      security.sudo.wheelNeedsPassword = lib.mkForce false;

      hardware.enableRedistributableFirmware = lib.mkDefault true;
      boot.kernelModules = [
        "dm-raid"
        "dm-snapshot"
      ];
      # little memory and no swap: Nix asks for more address space than it uses
      boot.kernel.sysctl."vm.overcommit_memory" = "1";
      environment.variables.GC_INITIAL_HEAP_SIZE = "1M";
      # what the firmware remembers of crashes is the installed system's to read
      environment.etc."systemd/pstore.conf".text = ''
        [PStore]
        Unlink=no
      '';
      # beside what NixOS' own media and the file systems below bring
      environment.systemPackages = [
        pkgs.gptfdisk
        pkgs.kexec-tools
        pkgs.parted
      ];
      # Disks of every kind the hosts use, and no ZFS where none does: it holds kernels back. The option was a list of names
      # before NixOS 24.05, and takes one ever since.
      boot.supportedFilesystems =
        if options.boot.supportedFilesystems.type.name == "listOf" then
          lib.mkForce (lib.unique (fileSystems ++ [ "btrfs" "ext4" "f2fs" "ntfs" "vfat" "xfs" ]))
        else
          lib.mkMerge [
            fileSystems
            (lib.mkIf (!(builtins.elem "zfs" fileSystems)) { zfs = lib.mkForce false; })
          ];
    }
    (setIf [ "boot" "swraid" ] {
      enable = true;
      # who would read its mail?
      mdadmConf = "PROGRAM ${pkgs.coreutils}/bin/true";
    })
    (setIf [ "nixpkgs" "hostPlatform" ] (builtins.head hosts).system)
    # no copy of nixpkgs on the stick
    (setIf [ "system" "installer" "channel" "enable" ] (lib.mkForce false))
  ];
}
