# Hashes that stand for "not known yet".
{ lib }:
{
  fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  fakeSha256 = lib.concatStrings (lib.replicate 64 "0");
  fakeSha512 = lib.concatStrings (lib.replicate 128 "0");
  lazyDerivation = { derivation, ... }: derivation;
  optionalDrvAttr = cond: value: if cond then value else null;
}
