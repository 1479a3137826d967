# virtualisation.*, as far as machines of examples use it.
{ lib, ... }:
let
  inherit (lib) types;
  inherit (import ../../lib/declare.nix { inherit lib; }) opt off on accept;
in
{
  options.virtualisation = {
    docker = { enable = off; autoPrune.enable = off; storageDriver = opt (types.nullOr types.str) null; };
    podman = { enable = off; dockerCompat = off; defaultNetwork = accept; };
    libvirtd = { enable = off; qemu = accept; };
    containerd.enable = off;
    oci-containers = {
      backend = opt (types.enum [ "podman" "docker" ]) "podman";
      containers = opt (types.attrsOf types.attrs) { };
    };
    lxc.enable = off;
    hypervGuest.enable = off;
    vmware.guest.enable = off;
    virtualbox.guest.enable = off;
    vmVariant = accept;
  };
  options.containers = opt (types.attrsOf types.attrs) { };
}
