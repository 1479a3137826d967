# Platforms: Linux on the two architectures the miniature knows by their details, and others by name.
{ lib }:
let
  elaborate =
    arg:
    let
      system = if builtins.isString arg then arg else arg.system or arg.config or "x86_64-linux";
      parts = lib.splitString "-" system;
      cpu = builtins.head parts;
      kernel = lib.last parts;
    in
    {
      inherit system;
      config = "${cpu}-unknown-${kernel}-gnu";
      parsed = {
        cpu = { name = cpu; bits = if builtins.elem cpu [ "i686" "armv7l" "armv6l" ] then 32 else 64; };
        kernel.name = kernel;
      };
      qemuArch = cpu;
      linuxArch = { aarch64 = "arm64"; }.${cpu} or cpu;
      darwinArch = { aarch64 = "arm64"; }.${cpu} or cpu;
      efiArch = { x86_64 = "x64"; aarch64 = "aa64"; i686 = "ia32"; }.${cpu} or cpu;
      isx86_64 = cpu == "x86_64";
      isi686 = cpu == "i686";
      isx86 = cpu == "x86_64" || cpu == "i686";
      isAarch64 = cpu == "aarch64";
      isAarch32 = cpu == "armv7l" || cpu == "armv6l";
      isAarch = lib.hasPrefix "a" cpu;
      isRiscV64 = cpu == "riscv64";
      isRiscV = lib.hasPrefix "riscv" cpu;
      is64bit = !(builtins.elem cpu [ "i686" "armv7l" "armv6l" ]);
      is32bit = builtins.elem cpu [ "i686" "armv7l" "armv6l" ];
      isPower = lib.hasPrefix "powerpc" cpu;
      isMips = lib.hasPrefix "mips" cpu;
      isEfi = builtins.elem cpu [ "x86_64" "i686" "aarch64" "armv7l" "riscv64" ];
      isLinux = kernel == "linux";
      isDarwin = kernel == "darwin";
      isFreeBSD = false;
      isUnix = true;
      isGnu = true;
      isMusl = false;
      isStatic = false;
      isLittleEndian = true;
      isBigEndian = false;
      linux-kernel = {
        name = if cpu == "x86_64" then "pc" else cpu;
        target = { x86_64 = "bzImage"; i686 = "bzImage"; }.${cpu} or "Image";
        DTB = cpu == "aarch64";
      };
      canExecute = other: other.system == system;
      emulator = pkgs: "${pkgs.qemu}/bin/qemu-${cpu}";
      emulatorAvailable = _: true;
    }
    // lib.optionalAttrs (builtins.isAttrs arg) (removeAttrs arg [ "system" "config" ]);
  doubles = [ "x86_64-linux" "aarch64-linux" "i686-linux" "armv7l-linux" "armv6l-linux" "riscv64-linux" ];
in
{
  inherit elaborate doubles;
  equals = a: b: a.system == b.system;
  flakeExposed = doubles;
  examples = {
    aarch64-multiplatform = { config = "aarch64-unknown-linux-gnu"; system = "aarch64-linux"; };
    gnu64 = { config = "x86_64-unknown-linux-gnu"; system = "x86_64-linux"; };
  };
  inspect = { };
  parse = { };
}
