# The one module that every system of the lab has beside NixOS' own. It makes the places that Debian's programs have compiled
# in, and turns off the few things that Debian's versions cannot do. All else stays as NixOS and the definition say.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  fhs = import ./fhs.nix { inherit config lib pkgs; };
in
{
  system.activationScripts.labFileSystem = {
    deps = [ "specialfs" ];
    # One process for many links: under emulation each costs a tenth of a second.
    text = ''
      if [ "$(readlink /usr/share)" != ${fhs}/share ]; then
        mkdir -p /bin /usr/bin
        ln -sfn -t /bin ${fhs}/bin/*
        ln -sfn -t /usr/bin ${fhs}/bin/*
        ln -sfn -t / ${fhs}/lib ${fhs}/sbin
        ln -sfn -t /usr ${fhs}/lib ${fhs}/libexec ${fhs}/sbin ${fhs}/share
      fi
    '';
  };

  # Its perl looks for locales.
  system.activationScripts.users.deps = [ "labFileSystem" ];

  # The stub that explains why a foreign program does not start: for 32 bits it needs a compiler for them.
  environment.ldso32 = null;
  # nsncd is not in Debian; the C library's own daemon speaks the same protocol.
  services.nscd.enableNsncd = false;
  # Debian's su is that of util-linux, which asks for another service when it starts a login shell.
  security.pam.services.su-l.rootOK = true;
  # Debian's sshd separates privileges in this folder.
  systemd.tmpfiles.rules = [ "d /run/sshd 0755 root root - -" ];
  # An RSA key of 4096 bits takes half a minute under emulation, before the first login.
  services.openssh.hostKeys = lib.mkDefault [
    {
      type = "ed25519";
      path = "/etc/ssh/ssh_host_ed25519_key";
    }
  ];
}
