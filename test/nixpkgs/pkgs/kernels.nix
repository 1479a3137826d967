# Kernels by their line, with the versions of nixpkgs 24.05.
{
  lib,
  pkgs,
  standIn,
}:
let
  lines = {
    linux_4_19 = "4.19.314";
    linux_5_4 = "5.4.276";
    linux_5_10 = "5.10.217";
    linux_5_15 = "5.15.159";
    linux_6_1 = "6.1.91";
    linux_6_6 = "6.6.31";
    linux_6_8 = "6.8.10";
    linux_6_9 = "6.9.1";
    linux_rpi4 = "6.1.63-stable_20231123";
  };
  kernel =
    version:
    standIn "linux-${version}" {
      passthru = {
        modDirVersion = version;
        features = { };
        config = { isEnabled = _: true; isYes = _: true; isSet = _: true; isModule = _: true; };
        kernelAtLeast = lib.versionAtLeast version;
        kernelOlder = lib.versionOlder version;
        stdenv = pkgs.stdenv;
        dev = standIn "linux-${version}-dev" { };
      };
    };
  packagesFor = kernel: {
    inherit kernel;
    inherit (kernel) kernelAtLeast kernelOlder;
    recurseForDerivations = true;
    zfs = standIn "zfs-kernel-2.2.4-${kernel.version}" { passthru.userspaceTools = pkgs.zfs; };
    zfs_2_2 = standIn "zfs-kernel-2.2.4-${kernel.version}" { };
    r8125 = standIn "r8125-9.012.03-${kernel.version}" { };
    r8168 = standIn "r8168-8.053.00-${kernel.version}" { };
    wireguard = standIn "wireguard-${kernel.version}" { };
    v4l2loopback = standIn "v4l2loopback-${kernel.version}" { };
    perf = standIn "perf-${kernel.version}" { };
    extend = overlay: let self = packagesFor kernel // overlay self (packagesFor kernel); in self;
  };
  packages = builtins.mapAttrs (_: version: packagesFor (kernel version)) lines;
in
{
  linuxKernel = {
    kernels = builtins.mapAttrs (_: p: p.kernel) packages;
    packages = packages // { linux_default = packages.linux_6_6; linux_latest = packages.linux_6_9; };
    inherit packagesFor;
  };
  linuxPackagesFor = packagesFor;
  linuxPackages = packages.linux_6_6;
  linuxPackages_latest = packages.linux_6_9;
  linuxPackages_rpi3 = packages.linux_rpi4;
  linuxPackages_rpi4 = packages.linux_rpi4;
  linux = packages.linux_6_6.kernel;
  linux_latest = packages.linux_6_9.kernel;
}
// lib.mapAttrs' (name: value: lib.nameValuePair "linuxPackages${lib.removePrefix "linux" name}" value) packages
// builtins.mapAttrs (_: p: p.kernel) packages
