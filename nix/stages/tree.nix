# Everything a generated tree builds, for `nix-build generated -A NAME.iso`:
#   NAME.iso     the installation image (stage 0)
#   NAME.mini    the mini system (stage 1)
#   NAME.full    the full system as the hive has it (stage 2), without what Colmena adds
#   NAME.format  the script that formats and mounts the disks of the host; it asks nothing
{ tree }:
let
  hosts = import (tree + "/_hive/lib/hosts.nix") { inherit tree; };
  stage = name: file: (hosts.plain name [ (tree + "/${name}/${file}") ]).config.system.build;
in
builtins.mapAttrs (name: _: {
  iso = (stage name "iso.nix").isoImage;
  mini = (stage name "mini_sys.nix").toplevel;
  full = (hosts.evaluate name [ { hive.hosts.entries = hosts.hive.entries; } ]).config.system.build.toplevel;
  format = (hosts.formatting name).config.system.build.diskoScript;
}) hosts.hive.hosts
