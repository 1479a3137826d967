import ../common/node.nix {
  address = "10.0.100.13";
  mac = "70:85:c2:5e:00:03";
  disk = "ata-CT500MX500SSD1_2013E29A0003";
}
