# For boards that boot from a card, such as a Raspberry Pi: the mini system of a host as an image for its card. There is no
# medium and no installation; the image grows to the size of the card when it is first booted, and sshd makes host keys then.
{
  tree, # the generated folder
  name, # the host
}:
{
  lib,
  modulesPath,
  options,
  ...
}:
let
  host = builtins.fromJSON (builtins.readFile (tree + "/${name}/host.json"));
  # not asked of the system: its image decides about the same option
  isRoot = c: c.path == [ "fileSystems" "/" "device" ];
  root = toString (lib.findFirst isRoot { value = "nowhere"; } host.carried).value;
  after = folder: if lib.hasPrefix "/dev/disk/${folder}/" root then lib.removePrefix "/dev/disk/${folder}/" root else null;
  label = after "by-label";
  # NixOS 24.05 and older know one label
  fits = label != null && (label == "NIXOS_SD" || options.sdImage ? rootVolumeLabel) || after "by-uuid" != null;
in
{
  imports = [
    (modulesPath + "/installer/sd-card/sd-image-aarch64.nix")
    (tree + "/${name}/mini_sys.nix")
  ];
  # the tools of a rescue system
  disabledModules = [ "profiles/base.nix" ];

  config = lib.mkMerge [
    {
      assertions = [
        {
          assertion = fits;
          message = ''
            ${name} mounts its root from ${root}, which the image of a card does not have. Set
            fileSystems."/" = { device = "/dev/disk/by-label/NIXOS_SD"; fsType = "ext4"; };
          '';
        }
      ];
      # The image is made to fit the host's own entries; whoever writes it to a card writes it as it is.
      sdImage.compressImage = false;
      # Nothing puts the hash of the password onto the card. Until the full system is deployed, the keys are what lets in.
      security.sudo.wheelNeedsPassword = lib.mkOverride 49 false;
    }
    (lib.optionalAttrs (options.sdImage ? rootVolumeLabel) { sdImage.rootVolumeLabel = lib.mkIf (label != null) label; })
    { sdImage.rootPartitionUUID = after "by-uuid"; }
  ];
}
