# Everything a generated tree builds, for `nix-build generated -A NAME.iso`:
#   NAME.iso     the installation image (stage 0)
#   NAME.mini    the mini system (stage 1)
#   NAME.full    the full system as the hive has it (stage 2), without what Colmena adds
#   NAME.format  the script that formats and mounts the disks of the host; it asks nothing
#   NAME.sd      for boards that boot from a card: an image of the mini system, in place of medium and installation
#   _all.PLATFORM.iso  one image for all hosts of a platform; no host can have this name
{
  tree,
  # Store path of the program for the medium, an executable for the platform of its hosts. Without it the medium says what to type.
  setup ? null,
  # A word nobody can guess. With it, whoever builds a medium is told how the passwords of its deployers are set: one line for each,
  #   trace: WORD {"name":HOST,"user":...,"file":...,"hash":...,"word":...}
  # so that they travel beside the image and are neither evaluated twice nor written anywhere.
  word ? null,
}:
let
  hosts = import (tree + "/_hive/lib/hosts.nix") { inherit tree; };
  all = hosts.hive.hosts;
  program.hive.medium = { inherit setup; };
  tell =
    passwords: value:
    if word == null then value else builtins.foldl' (v: p: builtins.trace "${word} ${builtins.toJSON p}" v) value passwords;
  image = medium: tell medium.config.hive.medium.passwords medium.config.system.build.isoImage;

  host = name: {
    iso = image (hosts.plain name [ (tree + "/${name}/iso.nix") program ]);
    mini = (hosts.plain name [ (tree + "/${name}/mini_sys.nix") ]).config.system.build.toplevel;
    full = (hosts.evaluate name [ { hive.hosts.entries = hosts.hive.entries; } ]).config.system.build.toplevel;
    format = (hosts.formatting name).config.system.build.diskoScript;
    sd = (hosts.plain name [ (import ./sd.nix { inherit tree name; }) ]).config.system.build.sdImage;
  };
  platforms = builtins.foldl' (found: name: found // { ${all.${name}.system} = null; }) { } (builtins.attrNames all);
  common = platform: { iso = image (hosts.common [ (import (tree + "/_all/iso.nix") platform) program ]); };
in
builtins.mapAttrs (name: _: host name) all // { _all = builtins.mapAttrs (platform: _: common platform) platforms; }
