# The package set, as a function of itself so that overlays can change it.
{
  lib,
  config,
  overlays,
  hostPlatform,
  buildPlatform,
  path,
  appendOverlays,
}:
pkgs:
let
  settings =
    if builtins.isFunction config then
      config { inherit pkgs lib; }
    else if builtins.isPath config then import config else config;
  builders = import ./builders.nix { inherit lib pkgs; };
  standIns = import ./stand-ins.nix { inherit lib pkgs; settings = settings; };
  kernels = import ./kernels.nix { inherit lib pkgs; inherit (standIns) standIn; };
in
{
  _type = "pkgs";
  inherit lib path overlays appendOverlays hostPlatform buildPlatform;
  config = { allowUnfree = false; allowUnfreePredicate = _: false; } // settings;
  targetPlatform = hostPlatform;
  inherit (hostPlatform) system;
  extend = overlay: appendOverlays [ overlay ];
  stdenv = {
    inherit hostPlatform buildPlatform;
    inherit (hostPlatform) system isLinux isDarwin isx86_64 isAarch64;
    targetPlatform = hostPlatform;
    shell = "/bin/sh";
    mkDerivation = args: standIns.standIn (if args ? name then args.name else "${args.pname}-${args.version}") (removeAttrs args [ "name" ]);
  };
  callPackage = lib.callPackageWith pkgs;
  callPackages = lib.callPackageWith pkgs;
  newScope = extra: lib.callPackageWith (pkgs // extra);
  buildPackages = pkgs;
  pkgsBuildBuild = pkgs;
  pkgsi686Linux = pkgs;
  pkgsStatic = pkgs;
  nixos = configuration: import (path + "/nixos/lib/eval-config.nix") { modules = [ configuration { nixpkgs.pkgs = pkgs; } ]; };
  fetchurl = args: import <nix/fetchurl.nix> (builtins.intersectAttrs { url = 1; hash = 1; sha256 = 1; name = 1; } args);
  fetchFromGitHub = { owner, repo, rev, hash ? null, sha256 ? null, ... }: pkgs.fetchurl {
    url = "https://github.com/${owner}/${repo}/archive/${rev}.tar.gz";
    name = "source";
    sha256 = if hash != null then hash else sha256;
  };
  formats = import ./formats.nix { inherit lib pkgs; };
}
// builders
// standIns.packages
// kernels
