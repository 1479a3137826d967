# The packages that the table cannot stand in for, because nixpkgs makes them by functions or needs their insides.
final: prev:
let
  inherit (prev) lib;
  inherit (prev.stdenv) lab;
in
{
  # What scripts/lab-tree.sh builds beforehand and keeps from garbage collection.
  lab = {
    packages = prev.linkFarm "lab-packages" lab.packages;
    downloads = prev.linkFarm "lab-downloads" lab.debs;
  };

  # one stage, one platform
  pkgsStatic = final;
  buildPackages = final;
  gcc = final.stdenv.cc;
  bintools = final.stdenv.cc.bintools;
  bintools-unwrapped = final.stdenv.cc.bintools;

  inherit (lab) glibc;
  libc = final.glibc;
  linuxHeaders = final.runCommand "linux-headers" { } "mkdir -p $out";
  # nixpkgs reads one header of its sources for the security wrappers: the variables that setuid programs must not see
  srcOnly =
    args:
    if (args.pname or "") != "glibc" then
      prev.srcOnly args
    else
      let
        names = [ "GCONV_PATH" "GETCONF_DIR" "LD_AUDIT" "LD_DEBUG" "LD_LIBRARY_PATH" "LD_PRELOAD" "LOCPATH" "NLSPATH" "TMPDIR" "TZDIR" ];
      in
      final.writeTextDir "unsecvars.h" ''
        #define UNSECURE_ENVVARS ${lib.concatMapStringsSep " " (n: ''"${n}\0"'') names}
      '';

  makeModulesClosure =
    args:
    prev.makeModulesClosure (
      args // { rootModules = lib.subtractLists lab.table.absentModules args.rootModules; }
    );

  # names that modules of old kernels had, as a file
  kmod-debian-aliases = final.emptyFile;
  # a download without a name of its own
  nixos-grub2-theme = prev.nixos-grub2-theme.overrideAttrs (_: {
    pname = "nixos-grub2-theme";
  });

  # Debian's localedef makes what Debian's C library reads.
  glibcLocales = lib.makeOverridable (import ./locales.nix) {
    inherit (final) runCommand;
    inherit lib lab;
  };

  # a program of Haskell, in a package without a name
  shellcheck = prev.shellcheck.overrideAttrs (_: {
    pname = "shellcheck";
  });
  shellcheck-minimal = final.shellcheck;

  # All modules that NixOS' scripts use are in the table's perl.
  perl = prev.perl // {
    withPackages = _: final.perl;
  };
}
