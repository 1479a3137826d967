# A store path with what others look for in a NixOS system. It is built by a shell alone.
{ name, size }:
derivation {
  inherit name size;
  system = builtins.currentSystem;
  src = ./tree;
  builder = "/bin/sh";
  args = [
    "-euc"
    ''
      export PATH=/usr/bin:/bin
      cp -r "$src" "$out"
      chmod -R u+w "$out"
      mkdir -p "$out/bin"
      mv "$out/switch-to-configuration" "$out/bin/"
      for script in activate bin/switch-to-configuration; do
        sed -i "s|@out@|$out|g" "$out/$script"
        chmod 755 "$out/$script"
      done
      ln -s /usr "$out/sw"
      ln -s activate "$out/init"
      [ "$size" = 0 ] || head -c "$size" /dev/urandom >"$out/ballast"
    ''
  ];
}
