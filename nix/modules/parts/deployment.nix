# `deployment.*` as definitions written for Colmena set it. Left out where Colmena declares it.
{ lib, name, ... }:
{
  options.deployment = import ../../lib/deployment-options.nix { inherit lib name; };
}
