# Packages: each is a text file that says what it stands for.
{
  lib,
  pkgs,
  settings,
}:
let
  allowed =
    pname: license:
    (license.free or true)
    || settings.allowUnfree or false
    || (settings.allowUnfreePredicate or (_: false)) { inherit pname; name = pname; }
    || builtins.getEnv "NIXPKGS_ALLOW_UNFREE" == "1";

  standIn =
    name: attrs:
    let
      parsed = builtins.parseDrvName name;
      pname = attrs.pname or parsed.name;
      license = attrs.meta.license or lib.licenses.mit;
      drv = derivation {
        inherit name;
        inherit (pkgs.hostPlatform) system;
        builder = "/bin/sh";
        args = [ "-c" "echo 'the test miniature of nixpkgs stands in for ${name}' > $out" ];
      };
    in
    if !(allowed pname license) then
      throw "Package ‘${name}’ in ${toString ./stand-ins.nix} has an unfree license (‘${license.fullName or "unfree"}’), refusing to evaluate."
    else
      drv
      // {
        inherit pname;
        version = attrs.version or parsed.version;
        meta = {
          inherit license;
          description = "A stand-in for ${pname}";
          mainProgram = pname;
          platforms = lib.platforms.linux;
        } // attrs.meta or { };
        override = _: standIn name attrs;
        overrideAttrs = _: standIn name attrs;
        overrideDerivation = _: standIn name attrs;
      }
      // attrs.passthru or { };

  plain = builtins.mapAttrs (name: version: standIn "${name}-${version}" { }) {
    acl = "2.3.2";
    age = "1.1.1";
    bat = "0.24.0";
    bcache-tools = "1.0.8";
    bind = "9.18.27";
    borgbackup = "1.2.8";
    bridge-utils = "1.7.1";
    btrfs-progs = "6.8.1";
    busybox = "1.36.1";
    cacert = "3.98";
    cloud-utils = "0.32";
    containerd = "1.7.16";
    coreutils = "9.5";
    cryptsetup = "2.7.1";
    curl = "8.7.1";
    diffutils = "3.10";
    dig = "9.18.27";
    dnsutils = "9.18.27";
    docker = "24.0.9";
    dosfstools = "4.2";
    e2fsprogs = "1.47.0";
    efibootmgr = "18";
    emacs = "29.3";
    emacs-nox = "29.3";
    ethtool = "6.7";
    exfatprogs = "1.2.2";
    f2fs-tools = "1.16.0";
    fd = "10.1.0";
    file = "5.45";
    findutils = "4.9.0";
    fzf = "0.52.1";
    gawk = "5.2.2";
    gcc = "13.2.0";
    git = "2.44.0";
    gnugrep = "3.11";
    gnused = "4.9";
    gnutar = "1.35";
    gptfdisk = "1.0.10";
    grub2 = "2.12";
    gzip = "1.13";
    hdparm = "9.65";
    hello = "2.12.1";
    helix = "24.03";
    htop = "3.3.0";
    inetutils = "2.5";
    inotify-tools = "4.23.9.0";
    intel-media-driver = "24.2.3";
    iotop = "0.6";
    iperf3 = "3.16";
    iproute2 = "6.8.0";
    iptables = "1.8.10";
    iputils = "20240117";
    jq = "1.7.1";
    k3s = "1.29.4+k3s1";
    k9s = "0.32.4";
    kbd = "2.6.4";
    kexec-tools = "2.0.28";
    kmod = "31";
    kubectl = "1.30.1";
    kubernetes-helm = "3.15.0";
    less = "643";
    libvirt = "10.0.0";
    linux-firmware = "20240513";
    lm_sensors = "3.6.0";
    lsof = "4.99.3";
    lvm2 = "2.03.23";
    lvm2_dmeventd = "2.03.23";
    man-db = "2.12.1";
    mc = "4.8.31";
    mdadm = "4.2";
    microcodeAmd = "20240513";
    microcodeIntel = "20240514";
    mkpasswd = "5.5.22";
    nano = "8.0";
    ncdu = "1.19";
    neovim = "0.9.5";
    nettools = "2.10";
    nfs-utils = "2.6.4";
    nftables = "1.0.9";
    nix = "2.18.2";
    nixos-install-tools = "24.05";
    nixpkgs-fmt = "1.3.0";
    nmap = "7.95";
    ntfs3g = "2022.10.3";
    nvme-cli = "2.9.1";
    openssh = "9.7p1";
    openssl = "3.0.13";
    parted = "3.6";
    pciutils = "3.12.0";
    perl = "5.38.2";
    podman = "5.0.3";
    procps = "3.3.17";
    python3 = "3.11.9";
    qemu = "8.2.4";
    qemu_kvm = "8.2.4";
    raspberrypifw = "1.20240424";
    restic = "0.16.4";
    ripgrep = "14.1.0";
    rsync = "3.3.0";
    screen = "4.9.1";
    smartmontools = "7.4";
    strace = "6.9";
    sudo = "1.9.15p5";
    systemd = "255.4";
    tcpdump = "4.99.4";
    tmux = "3.4";
    tree = "2.1.1";
    ubootRaspberryPi3_64bit = "2024.01";
    ubootRaspberryPi4_64bit = "2024.01";
    unzip = "6.0";
    usbutils = "017";
    util-linux = "2.39.4";
    vim = "9.1.0377";
    wget = "1.21.4";
    which = "2.21";
    wireguard-tools = "1.0.20210914";
    xfsprogs = "6.6.0";
    xz = "5.4.6";
    zip = "3.0";
    zfs_2_1 = "2.1.15";
    zstd = "1.5.6";
  };
  shell = name: version: standIn "${name}-${version}" { passthru.shellPath = "/bin/${name}"; };
in
{
  inherit standIn;
  packages = plain // {
    bash = shell "bash" "5.2p26";
    bashInteractive = shell "bash-interactive" "5.2p26";
    zsh = shell "zsh" "5.9";
    fish = shell "fish" "3.7.1";
    nushell = shell "nu" "0.93.0";
    dash = shell "dash" "0.5.12";
    shadow = standIn "shadow-4.14.6" { passthru.shellPath = "/bin/nologin"; };
    shellcheck = standIn "shellcheck-0.10.0" { };
    runtimeShell = "/bin/sh";
    # says its version, and what it was called with
    colmena = pkgs.writeShellScriptBin "colmena" ''case $1 in --version) echo "Colmena 0.4.0";; *) echo "miniature colmena: $*";; esac'';
    zfs = standIn "zfs-user-2.2.4" {
      version = "2.2.4";
      passthru.latestCompatibleLinuxPackages = pkgs.linuxKernel.packages.linux_6_8;
    };
    zfsUnstable = pkgs.zfs;
    zfsStable = pkgs.zfs;
    nixVersions = { stable = pkgs.nix; latest = pkgs.nix; unstable = pkgs.nix; };
    nixUnstable = pkgs.nix;
    utillinux = pkgs.util-linux;
    python3Packages = { };
    nerdfonts = standIn "nerdfonts-3.2.1" { };
    # the one unfree package, to see the refusal
    unrar = standIn "unrar-7.0.9" { meta.license = lib.licenses.unfree; };
    nixos-artwork.wallpapers.simple-dark-gray-bootloader = standIn "simple-dark-gray-bootloader" { };
  };
}
