# Debian packages as packages of nixpkgs: the table of packages.nix as derivations.
{ lib }:
let
  debs = import ./debs.nix;
  named = name: debs.${name} or (throw "test/lab/packages.nix names the Debian package ${name}, which is not downloaded: make lab");
  kernel = lib.removePrefix "linux-image-" (
    lib.findFirst (n: lib.hasPrefix "linux-image-" n && n != "linux-image-amd64") (throw "no kernel is downloaded: make lab") (
      lib.attrNames debs
    )
  );
  table = import ./packages.nix { inherit kernel; };

  # As text: a path would bring its file mode into every hash.
  text = file: builtins.toFile (baseNameOf file) (builtins.readFile file);
  commands = v: if builtins.isPath v then builtins.readFile v else v;
  derive =
    attrs:
    derivation (
      {
        system = "x86_64-linux";
        builder = "/bin/bash";
        preferLocalBuild = true;
        allowSubstitutes = false;
      }
      // attrs
    );

  # Packages with libraries that programs load: all that depend on them want them in one place.
  isLibrary =
    name:
    lib.elem name [
      "grub-common"
      "iptables"
      "libpam0g"
      "nix-bin"
      "systemd"
      "zlib1g"
    ]
    || lib.hasPrefix "lib" name && !(lib.hasPrefix "libpam-" name || lib.hasPrefix "libpython" name || lib.hasSuffix "-perl" name);
  libs = derive {
    name = "debian-libs";
    args = [ (text ./libs.sh) ];
    debs = map named (lib.filter isLibrary (lib.attrNames debs));
    libc = named "libc6";
  };

  # One path for each row, whoever asks for it: a build tool is the very program of the running system.
  packages = lib.mapAttrs (
    pname: row:
    if builtins.isString row then
      packages.${row}
    else
      let
        spec = if builtins.isList row then { debs = row; } else row;
        adapt = spec.adapt or true;
      in
      derive {
        name = "${pname}-debian";
        args = [ (text ./repack.sh) ];
        debs = map named spec.debs;
        fix = commands (spec.fix or "");
        finish = commands (spec.finish or "");
        tools = map (n: packages.${n}) (spec.tools or [ ]);
        libs = lib.optionalString adapt libs;
        # these two cannot refer to themselves
        bash = lib.optionalString (pname != "bash") packages.bash;
        perl = lib.optionalString (pname != "bash" && pname != "perl") packages.perl;
      }
  ) table.packages;
in
{
  inherit
    debs
    kernel
    libs
    packages
    table
    ;
}
