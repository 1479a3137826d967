# Which Debian packages stand in for which package of nixpkgs. This is the table to extend when a build stops with
# "the lab has no package for …".
#
#   pname = [ "deb" … ];                                    the files of these packages, arranged as nixpkgs has them
#   pname = "other";                                        the same as another row
#   pname = { debs = [ … ]; fix = "commands"; … };          with changes: bash, in the folder of the build
#     fix     run on $out before scripts and programs are adapted; a path is a file that holds the commands
#     finish  the same, run after
#     tools   rows whose programs the commands need
#     adapt   false: programs are not to run on this machine and stay as they are
#
# Commands know $out, $libs (all shared libraries), $bash and $perl; see repack.sh. Packages that Debian's packages depend
# on are found by apt and need no row: their libraries are in $libs.
{
  kernel, # release of Debian's kernel, such as 6.1.0-18-amd64
}:
let
  # a program of one line
  script = name: line: ''
    mkdir -p $out/bin
    printf '#!%s/bin/bash\n%s\n' $bash ${"'" + line + "'"} > $out/bin/${name}
    chmod +x $out/bin/${name}
  '';
  # units that nixpkgs' module does not want, because it has its own
  withoutUnits = debs: {
    inherit debs;
    fix = "rm -rf $out/lib/systemd $out/etc/init.d";
  };
in
{
  packages = {
    # shell and the tools of every build
    bash = {
      debs = [ "bash" ];
      fix = "ln -s bash $out/bin/sh";
    };
    bash-interactive = "bash";
    bzip2 = [ "bzip2" ];
    coreutils = [ "coreutils" ];
    coreutils-full = "coreutils";
    diffutils = [ "diffutils" ];
    findutils = [ "findutils" ];
    gawk = {
      debs = [ "gawk" ];
      fix = "ln -sfn gawk $out/bin/awk";
    };
    gnugrep = [ "grep" ];
    gnumake = [ "make" ];
    gnused = [ "sed" ];
    gnutar = [ "tar" ];
    gzip = [ "gzip" ];
    patch = [ "patch" ];
    patchelf = [ "patchelf" ];
    xz = [ "xz-utils" ];
    zstd = [ "zstd" ];

    # the C library and what is always there
    glibc = {
      debs = [
        "libc-bin"
        "nscd"
      ];
      fix = ''
        rm -rf $out/lib/systemd $out/etc $out/bin/ldconfig
        mkdir -p $out/lib
        ln -s $libs/lib/{ld-linux,libc.so,libm.so,libdl,libpthread,librt,libresolv,libnss}* $out/lib/
      '';
    };
    getent-glibc = [ "libc-bin" ];
    iana-etc = [ "netbase" ];
    locales-sources = [ "locales" ];
    nss-cacert = {
      debs = [ "ca-certificates" ];
      fix = ''
        mkdir -p $out/etc/ssl/certs
        cat $out/share/ca-certificates/mozilla/*.crt > $out/etc/ssl/certs/ca-bundle.crt
        ln -s ca-bundle.crt $out/etc/ssl/certs/ca-certificates.crt
        rm -rf $out/bin $out/sbin $out/share $out/lib
      '';
    };
    tzdata = [ "tzdata" ];

    # the system
    busybox = {
      debs = [
        "busybox-static"
        "util-linux"
        "kbd"
      ];
      # Debian's busybox has neither fsck nor kbd_mode
      fix = ''
        mkdir keep
        mv $out/bin/{busybox,fsck,kbd_mode} keep/
        rm -rf $out/*
        mv keep $out/bin
        ln -s bin $out/sbin
        for applet in $($out/bin/busybox --list); do [[ -e $out/bin/$applet ]] || ln -s busybox $out/bin/$applet; done
      '';
    };
    dbus = {
      debs = [
        "dbus"
        "dbus-bin"
        "dbus-daemon"
        "dbus-session-bus-common"
        "dbus-system-bus-common"
        "dbus-user-session"
      ];
      fix = ./fixups/dbus.sh;
    };
    audit = withoutUnits [ "auditd" ];
    dbus-broker = withoutUnits [ "dbus-broker" ];
    kexec-tools = withoutUnits [ "kexec-tools" ];
    kmod = [ "kmod" ];
    linux = {
      debs = [ "linux-image-${kernel}" ];
      fix = ./fixups/linux.sh;
      tools = [ "kmod" ];
      adapt = false;
    };
    # the list of modules that Ubuntu does not load by itself
    kmod-blacklist = {
      debs = [ ];
      fix = "touch $out/modprobe.conf";
    };
    linux-pam = [
      "libpam-modules"
      "libpam-modules-bin"
    ];
    nix = {
      debs = [ "nix-bin" ];
      fix = ./fixups/nix.sh;
    };
    polkit = {
      debs = [
        "pkexec"
        "polkitd"
      ];
      fix = ./fixups/polkit.sh;
    };
    procps = [ "procps" ];
    psmisc = [ "psmisc" ];
    shadow = withoutUnits [
      "login"
      "passwd"
      "uidmap"
      "util-linux"
    ];
    sudo = withoutUnits [ "sudo" ];
    systemd = {
      debs = [
        "libnss-systemd"
        "libpam-systemd"
        "systemd"
        "systemd-boot"
        "systemd-boot-efi"
        "systemd-coredump"
        "systemd-resolved"
        "systemd-sysv"
        "systemd-timesyncd"
        "udev"
      ];
      fix = ./fixups/systemd.sh;
    };
    # disko's scripts take its udevadm
    systemd-minimal = {
      debs = [
        "systemd"
        "udev"
      ];
      fix = "rm -rf $out/etc $out/lib/systemd/{system,user}";
    };
    util-linux = withoutUnits [
      "bsdextrautils"
      "bsdutils"
      "eject"
      "fdisk"
      "mount"
      "rfkill"
      "util-linux"
      "util-linux-extra"
    ];
    util-linux-minimal = "util-linux";

    # boot loaders and media
    efibootmgr = [ "efibootmgr" ];
    efivar = [ "efivar" ];
    grub = withoutUnits [
      "grub-common"
      "grub-efi-amd64-bin"
      "grub-pc-bin"
      "grub2-common"
    ];
    libisoburn = [ "xorriso" ];
    "memtest86+" = {
      debs = [ "memtest86+" ];
      fix = "cp $out/boot/memtest86+x64.bin $out/memtest.bin; cp $out/boot/memtest86+x64.efi $out/memtest.efi";
    };
    mtools = [ "mtools" ];
    refind = {
      debs = [ "refind" ];
      fix = "cp -rn $out/share/refind/refind/. $out/share/refind/";
    };
    squashfs = [ "squashfs-tools" ];
    squashfs-tools-ng = [ "squashfs-tools-ng" ];
    syslinux = {
      debs = [
        "isolinux"
        "syslinux"
        "syslinux-common"
      ];
      fix = ''
        mkdir -p $out/share/syslinux
        cp -rn $out/lib/ISOLINUX/. $out/lib/syslinux/modules/bios/. $out/lib/syslinux/mbr/. $out/share/syslinux/
      '';
    };
    xorriso = [ "xorriso" ];

    # disks and file systems
    bcache-tools = {
      debs = [ "bcache-tools" ];
      fix = ./fixups/bcache-tools.sh;
    };
    btrfs-progs = withoutUnits [ "btrfs-progs" ];
    cifs-utils = [ "cifs-utils" ];
    cryptsetup = [ "cryptsetup-bin" ];
    dosfstools = [ "dosfstools" ];
    e2fsprogs = withoutUnits [
      "e2fsprogs"
      "logsave"
    ];
    f2fs-tools = withoutUnits [ "f2fs-tools" ];
    fuse = [ "fuse3" ];
    gptfdisk = [ "gdisk" ];
    hdparm = withoutUnits [ "hdparm" ];
    jfsutils = [ "jfsutils" ];
    lvm2 = {
      debs = [
        "dmsetup"
        "lvm2"
        "thin-provisioning-tools"
      ];
      fix = ./fixups/lvm2.sh;
      tools = [ "systemd" ];
    };
    mdadm = {
      debs = [ "mdadm" ];
      fix = ./fixups/mdadm.sh;
    };
    ntfs3g = [ "ntfs-3g" ];
    nvme-cli = withoutUnits [ "nvme-cli" ];
    parted = [ "parted" ];
    reiserfsprogs = [ "reiserfsprogs" ];
    sdparm = [ "sdparm" ];
    smartmontools = withoutUnits [ "smartmontools" ];
    xfsprogs = withoutUnits [ "xfsprogs" ];

    # network
    curl = [ "curl" ];
    dhcpcd = [ "dhcpcd-base" ];
    ethtool = [ "ethtool" ];
    inetutils = [
      "hostname"
      "telnet"
    ];
    iproute2 = [ "iproute2" ];
    iptables = {
      debs = [ "iptables" ];
      fix = ''
        for family in iptables ip6tables; do
          for suffix in "" -save -restore; do ln -sfn xtables-nft-multi $out/bin/$family$suffix; done
        done
      '';
    };
    iputils = [ "iputils-ping" ];
    libressl = {
      debs = [ "netcat-openbsd" ];
      fix = "ln -s nc.openbsd $out/bin/nc";
    };
    net-tools = [
      "hostname"
      "net-tools"
    ];
    nftables = withoutUnits [ "nftables" ];
    openresolv = withoutUnits [ "openresolv" ];
    openssh = {
      debs = [
        "openssh-client"
        "openssh-server"
        "openssh-sftp-server"
      ];
      fix = ./fixups/openssh.sh;
    };
    socat = [ "socat" ];
    sshfs-fuse = [ "sshfs" ];
    tcpdump = [ "tcpdump" ];
    wpa_supplicant = withoutUnits [ "wpasupplicant" ];

    # Firmware is for hardware that no virtual machine has.
    linux-firmware = {
      debs = [ ];
      fix = "mkdir -p $out/lib/firmware";
    };
    alsa-firmware = "linux-firmware";
    intel2200BGFirmware = "linux-firmware";
    libreelec-dvb-firmware = "linux-firmware";
    rt5677-firmware = "linux-firmware";
    rtl8192su = "linux-firmware";
    rtl8761b-firmware = "linux-firmware";
    rtw88-firmware = "linux-firmware";
    sof-firmware = "linux-firmware";
    wireless-regdb = "linux-firmware";
    zd1211-firmware = "linux-firmware";

    # languages
    perl = {
      debs = [
        "libconfig-inifiles-perl"
        "libdbd-sqlite3-perl"
        "libdbi-perl"
        "libfile-copy-recursive-perl"
        "libfile-slurp-perl"
        "libjson-perl"
        "liblist-compare-perl"
        "libnet-dbus-perl"
        "libperl5.36"
        "libstring-shellquote-perl"
        "libxml-libxml-perl"
        "libxml-namespacesupport-perl"
        "libxml-sax-base-perl"
        "libxml-sax-perl"
        "perl"
        "perl-base"
        "perl-modules-5.36"
      ];
      finish = ./fixups/perl.sh;
    };
    python3 = [
      "libpython3.11-minimal"
      "libpython3.11-stdlib"
      "python3-minimal"
      "python3.11"
      "python3.11-minimal"
    ];

    # comfort
    acl = [ "acl" ];
    attr = [ "attr" ];
    ccrypt = [ "ccrypt" ];
    cpio = [ "cpio" ];
    ddrescue = [ "gddrescue" ];
    desktop-file-utils = [ "desktop-file-utils" ];
    file = [ "file" ];
    fontconfig = [ "fontconfig" ];
    git = [ "git" ];
    git-minimal = "git";
    htop = [ "htop" ];
    jq = [ "jq" ];
    kbd = {
      debs = [
        "console-data"
        "console-setup-linux"
        "kbd"
      ];
      fix = "mkdir -p $out/share/consolefonts";
    };
    less = [ "less" ];
    libarchive = [ "libarchive-tools" ];
    libcap = [ "libcap2-bin" ];
    libossp-uuid = [ "uuid" ];
    libxslt = [ "xsltproc" ];
    lndir = [ "xutils-dev" ];
    logrotate = withoutUnits [ "logrotate" ];
    man-db = withoutUnits [ "man-db" ];
    mkpasswd = [ "whois" ];
    nano = [ "nano" ];
    ncurses = [
      "ncurses-base"
      "ncurses-bin"
      "ncurses-term"
    ];
    openssl = [ "openssl" ];
    pciutils = [ "pciutils" ];
    rsync = withoutUnits [ "rsync" ];
    screen = [ "screen" ];
    shared-mime-info = [ "shared-mime-info" ];
    shellcheck = [ "shellcheck" ];
    strace = [ "strace" ];
    testdisk = [ "testdisk" ];
    texinfo = [
      "install-info"
      "texinfo"
    ];
    texinfo-interactive = "texinfo";
    time = [ "time" ];
    unzip = [ "unzip" ];
    usbutils = [ "usbutils" ];
    vim = [
      "vim"
      "vim-runtime"
      "xxd"
    ];
    w3m = [ "w3m" ];
    which = [ "debianutils" ];
    xauth = [ "xauth" ];
    zip = [ "zip" ];

    # The initrd of systemd is made by a program in Rust. The medium has it for offline use, so it is there, and fails.
    make-initrd-ng = {
      debs = [ ];
      fix = script "make-initrd-ng" "echo boot.initrd.systemd.enable cannot be rehearsed in the lab >&2; exit 1";
    };
    # only checks types of a script while it is built
    mypy = {
      debs = [ ];
      fix = script "mypy" "exit 0";
    };
    # images of the lab need not be the same to the bit
    libfaketime = {
      debs = [ ];
      fix = script "faketime" ''
        while [[ $1 == -* ]]; do shift; done
        shift
        exec "$@"
      '';
    };
  };

  # Loaded by name, so that no package depends on them.
  libraries = [
    "libnss-myhostname"
    "libnss-mymachines"
    "libnss-resolve"
  ];

  # Debian allows no other package of the table beside these: they are downloaded on their own.
  conflicting = [ "openresolv" ];

  # What a system may lack without anybody noticing, by pname or name without version: an empty folder, or an empty file
  # where a file is fetched.
  hollow = [
    # pictures and themes
    "bios-boot.png"
    "efi-background.png"
    "hicolor-icon-theme"
    "nix-wallpaper-simple-dark-gray_bootloader.png"
    "nixos-grub2-theme"
    "sound-theme-freedesktop"
    "terminus-font"
    # manuals of NixOS: half a minute of Python for each host
    "nixos-configuration-reference-manpage"
    "nixos-manual-html"
    # comfort of a shell
    "bash-completion"
    "bind"
    "lesspipe"
    "ms-sys"
    "nix-bash-completions"
    "nixos-option"
    "vim-nix"
    # read by the boot loader for systems that are older than boot.json alone
    "bootspec"
  ];

  # Modules that NixOS' installation media want and Debian's kernel has not; of vmwgfx, a graphics driver, see fixups/linux.sh.
  absentModules = [
    "pata_hpt3x2n"
    "pata_hpt3x3"
    "pata_sl82c105"
    "sata_inic162x"
    "vmwgfx"
    "xhci-pci-renesas"
  ];

  # Why a package cannot be had, where more is to be said than that it has no row.
  absent = {
    zfs-user = "Debian builds the kernel module on each machine; ZFS cannot be rehearsed in the lab";
    zfs-kernel = "Debian builds the kernel module on each machine; ZFS cannot be rehearsed in the lab";
  };
}
