# nixpkgs' nix brings the daemon's units; Debian's package nix-bin has none.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
mkdir -p "$out/lib/tmpfiles.d" "$out/lib/systemd/system" "$out/libexec/nix"
echo 'd /nix/var/nix/daemon-socket 0755 root root - -' >"$out/lib/tmpfiles.d/nix-daemon.conf"
cat >"$out/lib/systemd/system/nix-daemon.socket" <<UNIT
[Unit]
Description=Nix Daemon Socket
Before=multi-user.target
RequiresMountsFor=/nix/store
ConditionPathIsReadWrite=/nix/var/nix/daemon-socket

[Socket]
ListenStream=/nix/var/nix/daemon-socket/socket

[Install]
WantedBy=sockets.target
UNIT
cat >"$out/lib/systemd/system/nix-daemon.service" <<UNIT
[Unit]
Description=Nix Daemon
RequiresMountsFor=/nix/store /nix/var /nix/var/nix/db
ConditionPathIsReadWrite=/nix/var/nix/daemon-socket

[Service]
ExecStart=@$out/bin/nix-daemon nix-daemon --daemon
KillMode=process
LimitNOFILE=1048576

[Install]
WantedBy=multi-user.target
UNIT
