# Parts of version numbers.
{ lib }:
let
  part = n: version: let parts = builtins.splitVersion version; in
    if builtins.length parts > n then
      builtins.elemAt parts n
    else
      "";
in
{
  splitVersion = builtins.splitVersion;
  major = part 0;
  minor = part 1;
  patch = part 2;
  majorMinor = version: lib.concatStringsSep "." (lib.take 2 (builtins.splitVersion version));
  pad =
    n: version:
    let
      parts = builtins.splitVersion version;
    in
    lib.concatStringsSep "." (lib.take n (parts ++ lib.replicate n "0"));
}
