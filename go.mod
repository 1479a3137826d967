module nixos-staged-hive

go 1.26.8
