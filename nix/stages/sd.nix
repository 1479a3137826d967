# For boards that boot from a card, such as a Raspberry Pi: its mini system as an image for the card. There is no medium and no
# installation; the image grows to the size of the card when it is first booted.
{
  tree, # the generated folder
  name, # the host
}:
{
  lib,
  modulesPath,
  ...
}:
{
  imports = [
    (modulesPath + "/installer/sd-card/sd-image-aarch64.nix")
    (tree + "/${name}/mini_sys.nix")
  ];
  # A rescue system's tools and file systems belong on media.
  disabledModules = [ "profiles/base.nix" ];
  # The card's own layout, where the host names no disks: what is on the image is what it mounts.
  # The file is written to a card as it is.
  sdImage.compressImage = false;
}
