# What the crash matrix installs, for each layout: NixOS' own kernel and stage 1 for the disks that disko lays out, and behind them a system that is
# small and says what it finds. Built with the lab's nixpkgs (test/lab), which makes all of this real but the last part.
#
#   nix-build systems.nix --argstr nixpkgs TREE --argstr disko TREE --argstr modules nix/ --argstr out DIR
{
  nixpkgs, # the lab's
  disko,
  source, # nix/ of this repository
}:
let
  pkgs = import nixpkgs { system = "x86_64-linux"; };
  inherit (pkgs) lib;
  layouts = import ./layouts.nix;

  evaluate =
    name: layout:
    import "${source}/lib/host.nix" {
      inherit nixpkgs name disko;
      workspace = ./.;
      definition = {
        imports = [ ./minimal.nix layout ];
      };
    };

  # One static program that is every command: the installed system has nothing else.
  tools = pkgs.runCommand "tools" { } ''
    mkdir -p $out/bin
    cp ${pkgs.busybox}/bin/busybox $out/bin/busybox
    for name in $($out/bin/busybox --list); do [[ -e $out/bin/$name ]] || ln -s busybox $out/bin/$name; done
    # What nixos-install has its bash do is in the words of util-linux, and a shell that is all commands looks for no others.
    cat > $out/bin/bash <<END
    #!$out/bin/sh
    export PATH=$out/bin
    mount() {
      case "\$1" in
      --rbind) mkdir -p "\$4" && command mount -o rbind "\$3" "\$4" ;;
      --make-rslave) command mount -o rslave none "\$2" ;;
      *) command mount "\$@" ;;
      esac
    }
    umount() {
      case "\$1" in
      -R) command umount -l "\$2" ;;
      *) command umount "\$@" ;;
      esac
    }
    [ "\$1" = -c ] && eval "\$2" && exit
    exit 1
    END
    chmod +x $out/bin/bash
  '';

  script =
    name: text:
    pkgs.writeScript name ''
      #!${tools}/bin/sh
      export PATH=${tools}/bin
      ${text}
    '';

  boot = pkgs.runCommand "systemd-boot" { } "mkdir -p $out; cp ${pkgs.systemd}/lib/systemd/boot/efi/systemd-bootx64.efi $out/";

  toplevel =
    name: config:
    let
      init = script "init-${name}" (builtins.readFile ./init.sh);
      activate = script "activate-${name}" (builtins.readFile ./activate.sh);
      loader = script "install-loader-${name}" ''
        boot=${pkgs.systemd}/lib/systemd/boot/efi/systemd-bootx64.efi
        ${builtins.readFile ./loader.sh}
      '';
    in
    pkgs.runCommand "toy-${name}" { } ''
      mkdir -p $out/bin $out/sw/bin
      cp ${config.boot.kernelPackages.kernel}/bzImage $out/kernel
      cp ${config.system.build.initialRamdisk}/initrd $out/initrd
      echo -n "${toString config.boot.kernelParams}" > $out/kernel-params
      echo -n ${name} > $out/name
      sed -e "s|@out@|$out|g" ${init} > $out/init
      sed -e "s|@out@|$out|g" ${activate} > $out/activate
      sed -e "s|@out@|$out|g" -e "s|^boot=.*|boot=${boot}/systemd-bootx64.efi|" ${loader} > $out/bin/switch-to-configuration
      ln -s ${tools}/bin/* $out/sw/bin/
      ln -sf busybox $out/sw/bin/systemd-tmpfiles
      rm $out/sw/bin/systemd-tmpfiles
      ln -s ${tools}/bin/true $out/sw/bin/systemd-tmpfiles
      chmod +x $out/init $out/activate $out/bin/switch-to-configuration
    '';

  initrdModules =
    config:
    let
      closure = pkgs.makeModulesClosure {
        rootModules = config.boot.initrd.availableKernelModules ++ config.boot.initrd.kernelModules;
        kernel = config.system.modulesTree;
        firmware = config.hardware.firmware;
      };
    in
    pkgs.runCommand "initrd-modules" { } ''
      find ${closure}/lib/modules -name '*.ko*' | sed -e 's|.*/||' -e 's|\.ko.*||' -e 's|-|_|g' | sort -u > $out
    '';

  builtinModules =
    config:
    pkgs.runCommand "builtin-modules" { } ''
      mkdir -p $out/some
      cp ${config.system.modulesTree}/lib/modules/*/modules.builtin $out/some/
    '';

  system =
    name: layout:
    let
      host = evaluate name layout;
      inherit (host) config;
      top = toplevel name config;
    in
    {
      inherit name;
      facts = import "${source}/lib/facts.nix" {
        inherit name host nixpkgs;
        definition = "layouts.nix";
        deep = false;
        baseModules = import "${nixpkgs}/nixos/modules/module-list.nix" ++ [ "${nixpkgs}/nixos/lib/eval-config.nix" ];
      };
      toplevel = "${top}";
      closure = "${pkgs.closureInfo { rootPaths = [ top ]; }}";
      format = "${config.system.build.formatScript}";
      mount = "${config.system.build.mountScript}";
      initrdModules = "${initrdModules config}";
      modulesFolder = "${builtinModules config}";
    };

  # what the medium has on its PATH
  path = pkgs.buildEnv {
    name = "medium-path";
    ignoreCollisions = true;
    pathsToLink = [ "/bin" "/sbin" ];
    paths = with pkgs; [
      bash
      btrfs-progs
      coreutils
      cryptsetup
      dosfstools
      e2fsprogs
      findutils
      gawk
      gnugrep
      gnused
      gptfdisk
      jq
      lvm2
      mdadm
      nix
      parted
      systemd
      util-linux
      (nixosInstallTools)
    ];
  };
  nixosInstallTools = pkgs.symlinkJoin {
    name = "install-tools";
    paths = with (import "${nixpkgs}/nixos/lib/eval-config.nix" { modules = [ ./minimal.nix ]; system = "x86_64-linux"; }).config.system.build; [ nixos-install nixos-enter ];
  };
  systems = builtins.attrValues (builtins.mapAttrs system layouts);
  document = pkgs.writeText "systems.json" (builtins.toJSON { inherit path systems; loader = "${boot}/systemd-bootx64.efi"; });
in
pkgs.runCommand "matrix-medium" { nativeBuildInputs = [ pkgs.squashfsTools ]; } ''
  mkdir $out
  cp ${document} $out/systems.json
  mksquashfs $(cat ${pkgs.closureInfo { rootPaths = [ document ]; }}/store-paths) $out/store.squashfs -noI -noD -noF -noX -no-progress -keep-as-directory -all-root > /dev/null
''
