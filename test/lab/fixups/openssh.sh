# NixOS checks its sshd_config with "sshd -G", which came with OpenSSH 9.3. "sshd -T" of Debian's 9.2 checks the same but wants
# a host key. The program calls itself for each connection by the name it was called with, and takes its PAM service from it.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
rm -rf "$out/lib/systemd" "$out"/etc/{init.d,pam.d,ssh,default}
mkdir -p "$out/libexec/checked"
ln -s ../lib/openssh/sftp-server "$out/libexec/"
mv "$out/bin/sshd" "$out/libexec/checked/sshd"
cat >"$out/bin/sshd" <<SCRIPT
#!/bin/bash
case \$1 in -G) ;; *) exec $out/libexec/checked/sshd "\$@" ;; esac
shift
key=\$(mktemp -u)
trap 'rm -f "\$key" "\$key.pub"' EXIT
$out/bin/ssh-keygen -q -t ed25519 -N "" -f "\$key" || exit
$out/libexec/checked/sshd -T -h "\$key" "\$@"
SCRIPT
chmod +x "$out/bin/sshd"
