# Debian packages as packages of nixpkgs: the table of packages.nix as derivations.
{ lib }:
let
  debs = import ./debs.nix;
  named = name: debs.${name} or (throw "test/lab/packages.nix names the Debian package ${name}, which is not downloaded: make lab");
  kernel = lib.removePrefix "linux-image-" (
    lib.findFirst (lib.hasPrefix "linux-image-") (throw "no kernel is downloaded: make lab") (
      lib.filter (n: n != "linux-image-amd64") (lib.attrNames debs)
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
    (lib.hasPrefix "lib" name && !(lib.hasSuffix "-perl" name) && !(lib.hasPrefix "libpam-" name && name != "libpam0g") && !(lib.hasPrefix "libpython" name))
    || lib.elem name [
      "grub-common"
      "iptables"
      "nix-bin"
      "systemd"
      "zlib1g"
    ];
  libs = derive {
    name = "debian-libs";
    args = [ (text ./libs.sh) ];
    debs = map named (lib.filter isLibrary (lib.attrNames debs));
    libc = named "libc6";
  };

  row =
    pname:
    let
      v = table.packages.${pname};
    in
    if builtins.isList v then { debs = v; } else v;

  # package { bash, perl } { pname, name, outputs }: the row of pname under that name
  package =
    interpreters:
    {
      pname,
      name ? "${pname}-debian",
      outputs ? [ "out" ],
    }:
    let
      spec = row pname;
    in
    derive {
      inherit name outputs;
      inherit (interpreters) bash perl;
      args = [ (text ./repack.sh) ];
      debs = map named spec.debs;
      fix = commands (spec.fix or "");
      finish = commands (spec.finish or "");
      tools = map (n: package interpreters { pname = n; }) (spec.tools or [ ]);
      libs = if spec.adapt or true then libs else "";
    };

  bash = package {
    bash = "";
    perl = "";
  } { pname = "bash"; };
  perl = package {
    inherit bash;
    perl = "";
  } { pname = "perl"; };
in
{
  inherit
    bash
    debs
    kernel
    libs
    table
    ;
  package = package { inherit bash perl; };
}
