# `admin.*`, the original project's names of hive.admin.*.
{ lib, ... }:
let
  alias = from: to: lib.mkAliasOptionModule [ "admin" from ] [ "hive" "admin" to ];
in
{
  imports = [
    (alias "name" "name")
    (alias "hashedPwd" "hashedPassword")
    (alias "sshKeys" "sshKeys")
  ];
}
