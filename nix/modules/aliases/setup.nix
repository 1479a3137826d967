# `setup.*`, the original project's names of hive.setup.*.
{ lib, ... }:
let
  alias = from: to: lib.mkAliasOptionModule ([ "setup" ] ++ from) [ "hive" "setup" to ];
in
{
  imports = [
    (alias [ "preScript" ] "preScript")
    (alias [ "postScript" ] "postScript")
    (alias [ "files" ] "files")
    (alias [ "scripts" ] "scripts")
    (alias [ "bootLoader" "customConfig" ] "bootLoader")
  ];
}
