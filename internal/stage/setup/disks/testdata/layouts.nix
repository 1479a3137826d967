# Layouts with the scripts that the real disko makes of them, and what facts would say (nix/lib/facts.nix), as JSON. With nixpkgs' lib alone: the
# scripts name programs, which are those of the guest.
{ nixpkgs, disko }:
let
  lib = import "${nixpkgs}/lib";
  diskoLib = import "${disko}/lib" {
    inherit lib;
    rootMountPoint = "/mnt";
  };
  text = v: if v == null then "" else builtins.unsafeDiscardStringContext (toString v);

  esp = {
    size = "64M";
    type = "EF00";
    content = {
      type = "filesystem";
      format = "vfat";
      mountpoint = "/boot";
      mountOptions = [ "umask=0077" ];
    };
  };
  ext4 = mountpoint: {
    type = "filesystem";
    format = "ext4";
    inherit mountpoint;
  };
  luks = content: {
    type = "luks";
    name = "crypted";
    passwordFile = "/run/passphrase";
    extraFormatArgs = [ "--pbkdf pbkdf2 --pbkdf-force-iterations 1000" ];
    inherit content;
  };
  disk = serial: partitions: {
    device = "/dev/disk/by-id/virtio-${serial}";
    type = "disk";
    content = {
      type = "gpt";
      inherit partitions;
    };
  };
  layouts = {
    plain.disk.main = disk "main" {
      inherit esp;
      swap = {
        size = "64M";
        type = "8200";
        content.type = "swap";
      };
      root = {
        size = "100%";
        content = ext4 "/";
      };
    };
    grown.disk = layouts.plain.disk // {
      second = disk "second" {
        data = {
          size = "100%";
          content = ext4 "/data";
        };
      };
    };
    bios.disk.main = disk "main" {
      boot = {
        size = "1M";
        type = "EF02";
      };
      home = {
        size = "300M";
        content = {
          type = "filesystem";
          format = "xfs";
          mountpoint = "/home";
        };
      };
      root = {
        end = "-20M";
        content = ext4 "/";
      };
    };
    btrfs.disk.main = disk "main" {
      inherit esp;
      root = {
        size = "100%";
        content = {
          type = "btrfs";
          extraArgs = [ "-f" ];
          subvolumes = {
            "/root".mountpoint = "/";
            "/nix" = {
              mountpoint = "/nix";
              mountOptions = [ "noatime" ];
            };
            "/kept" = { };
          };
        };
      };
    };
    luks.disk.main = disk "main" {
      inherit esp;
      root = {
        size = "100%";
        content = luks (ext4 "/");
      };
    };
    lvm = {
      disk.main = disk "main" {
        inherit esp;
        pv = {
          size = "100%";
          content = luks {
            type = "lvm_pv";
            vg = "pool";
          };
        };
      };
      lvm_vg.pool = {
        type = "lvm_vg";
        lvs = {
          root = {
            size = "200M";
            content = ext4 "/";
          };
          swap = {
            size = "64M";
            content.type = "swap";
          };
        };
      };
    };
    raid = {
      disk =
        let
          member = serial: disk serial {
            mine = esp // { content = esp.content // { mountpoint = if serial == "main" then "/boot" else null; }; };
            raid = {
              size = "200M";
              content = {
                type = "mdraid";
                name = "array";
              };
            };
          };
        in
        {
          main = member "main";
          second = member "second";
        };
      mdadm.array = {
        type = "mdadm";
        level = 1;
        content = ext4 "/";
      };
    };
  };

  evaluated = devices: (lib.evalModules {
    modules = [
      {
        options.disko.devices = lib.mkOption { type = diskoLib.toplevel; };
        config.disko.devices = devices;
      }
    ];
  }).config.disko.devices;
  configuration = devices: (lib.evalModules {
    modules = [
      {
        options = {
          fileSystems = lib.mkOption { type = lib.types.attrsOf lib.types.raw; };
          swapDevices = lib.mkOption {
            type = lib.types.listOf lib.types.raw;
            default = [ ];
          };
          boot = lib.mkOption {
            type = lib.types.anything;
            default = { };
          };
        };
      }
      devices._config
    ];
  }).config;
  contentOf = c:
    if c == null then { content = ""; format = ""; mountPoint = ""; pool = ""; }
    else if c.type == "luks" then contentOf c.content // { content = "luks"; }
    else {
      content = c.type;
      format = text (c.format or null);
      mountPoint = text (c.mountpoint or null);
      pool = text (c.vg or (if c.type == "mdraid" then c.name else null));
    };
  partition = n: p: {
    name = n;
    inherit (p) label size type start end alignment;
    number = p._index;
  } // contentOf p.content;
  described = devices: {
    fileSystems = lib.mapAttrsToList (m: f: {
      mountPoint = m;
      inherit (f) device options;
      type = f.fsType;
      neededForBoot = true;
    }) (configuration devices).fileSystems;
    swap = map (s: { inherit (s) device; }) (configuration devices).swapDevices;
    luks = lib.mapAttrsToList (n: l: {
      name = n;
      inherit (l) device;
    }) ((configuration devices).boot.initrd.luks.devices or { });
    disks = lib.mapAttrsToList (n: d: {
      name = n;
      inherit (d) device;
      table = d.content.type;
      partitions = lib.mapAttrsToList partition d.content.partitions;
    }) devices.disk;
    pools = lib.concatMap (kind: lib.mapAttrsToList (n: _: { name = n; inherit kind; }) devices.${kind}) [ "zpool" "lvm_vg" "mdadm" ];
  };
in
lib.mapAttrs (_: layout: let devices = evaluated layout; in {
  format = text devices._create;
  mount = text devices._mount;
  storage = described devices;
}) layouts
