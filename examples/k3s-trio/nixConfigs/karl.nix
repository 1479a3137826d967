import ../common/node.nix {
  address = "10.0.100.11";
  mac = "70:85:c2:5e:00:01";
  disk = "ata-CT500MX500SSD1_2013E29A0001";
}
