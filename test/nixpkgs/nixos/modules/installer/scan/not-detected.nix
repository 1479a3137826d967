# Hardware nobody has looked at: firmware that may be redistributed is wanted.
{ lib, ... }:
{
  hardware.enableRedistributableFirmware = lib.mkDefault true;
}
