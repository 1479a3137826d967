# stdenvStages of the lab: one stage. The tools of its standard environment are Debian's, in the store; derivations are what
# stand-in.nix makes of them. Other platforms, and cross compilation, keep nixpkgs' own stages: they evaluate and never build.
args@{
  lib,
  localSystem,
  crossSystem,
  config,
  overlays,
  ...
}:
let
  pkgs = ../pkgs;
  repack = import ./repack.nix { inherit lib; };
  stand = import ./stand-in.nix { inherit lib repack; };
  tools = map (pname: repack.packages.${pname});

  # each of its outputs is the whole of it
  glibc =
    repack.packages.glibc
    // {
      pname = "glibc";
      version = "2.36";
    }
    // lib.genAttrs [ "bin" "dev" "getent" "static" ] (_: repack.packages.glibc);

  # This machine's compiler: a few small programs of NixOS are built from source. Statically, so that they need no library.
  compiler = derivation {
    name = "gcc-of-this-machine";
    system = "x86_64-linux";
    builder = "/bin/bash";
    args = [
      "-c"
      ''
        export PATH=/usr/bin:/bin
        mkdir -p $out/bin $out/nix-support
        for name in cc gcc; do
          printf '#!/bin/bash\nexec /usr/bin/gcc -static "$@"\n' > $out/bin/$name
          chmod +x $out/bin/$name
        done
        hook='export CC=gcc'
        for name in ar as ld nm objcopy objdump ranlib readelf strip; do
          ln -s /usr/bin/$name $out/bin/$name
          hook+=" ''${name^^}=$name"
        done
        echo "$hook" > $out/nix-support/setup-hook
      ''
    ];
  };
  bintools = compiler // {
    isGNU = true;
    isLLVM = false;
    dynamicLinker = "${repack.libs}/lib/ld-linux-x86-64.so.2";
    bintools = compiler;
    libc = glibc;
    targetPrefix = "";
  };
  cc = compiler // {
    pname = "gcc";
    version = "12";
    isGNU = true;
    isClang = false;
    langC = true;
    langCC = true;
    hardeningUnsupportedFlags = [ ];
    targetPrefix = "";
    libc = glibc;
    lib = repack.libs;
    inherit bintools;
    cc = compiler;
    override = _: cc;
  };

  stdenv = import (pkgs + "/stdenv/generic") {
    name = "stdenv-debian";
    inherit config cc;
    mkDerivationFromStdenv =
      self:
      let
        original = import (pkgs + "/stdenv/generic/make-derivation.nix") { inherit lib config; } self;
      in
      attrs: stand (original.mkDerivation attrs);
    buildPlatform = localSystem;
    hostPlatform = localSystem;
    targetPlatform = localSystem;
    shell = "${repack.packages.bash}/bin/bash";
    initialPath = tools [
      "bash"
      "bzip2"
      "coreutils"
      "diffutils"
      "findutils"
      "gawk"
      "gnugrep"
      "gnumake"
      "gnused"
      "gnutar"
      "gzip"
      "patch"
      "xz"
    ];
    extraNativeBuildInputs = tools [ "patchelf" ];
    fetchurlBoot = import (pkgs + "/build-support/fetchurl") {
      inherit lib;
      stdenvNoCC = stdenv;
      curl = null;
      buildPackages = { inherit stdenv; };
    };
    preHook = "export NIX_ENFORCE_PURITY= NIX_ENFORCE_NO_NATIVE=1";
    extraAttrs.lab = repack // { inherit glibc; };
  };
in
if localSystem.system == "x86_64-linux" && crossSystem == localSystem then
  [
    (_: { __raw = true; })
    (_: {
      inherit config stdenv;
      overlays = [ (import ./overlay.nix) ] ++ overlays;
    })
  ]
else
  import (pkgs + "/stdenv") args
