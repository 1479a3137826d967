# Definitions made for the original NixOS Staged Hive import ../bin/modules. This stands in for it: the hive.* options
# are added to every host without an import.
{ }
