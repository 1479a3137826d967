# An old server: BIOS, GRUB, btrfs with subvolumes.
{ pkgs, ... }:
{
  imports = [ ../common ];
  hive.network = {
    match.mac = "52:54:00:77:00:12";
    address = "192.168.77.12/24";
  };
  hive.partitioning.format.disk.main = {
    device = "/dev/disk/by-id/ata-ST3500418AS_9VM0A1B2";
    content = {
      type = "gpt";
      partitions = {
        # GRUB's place on a GPT disk that is started by a BIOS
        shed-grub = {
          size = "1M";
          type = "EF02";
          priority = 1;
        };
        shed-root = {
          size = "100%";
          content = {
            type = "btrfs";
            subvolumes = {
              "@".mountpoint = "/";
              "@home".mountpoint = "/home";
              "@nix" = {
                mountpoint = "/nix";
                mountOptions = [
                  "compress=zstd"
                  "noatime"
                ];
              };
            };
          };
        };
      };
    };
  };
  networking.firewall.allowedTCPPorts = [ 8080 ];
  systemd.services.page = {
    description = "A page to look at";
    wantedBy = [ "multi-user.target" ];
    serviceConfig = {
      DynamicUser = true;
      WorkingDirectory = "${pkgs.writeTextDir "index.html" "<p>This is the shed.</p>\n"}";
      ExecStart = "${pkgs.busybox}/bin/httpd -f -p 8080 -h .";
    };
  };
}
