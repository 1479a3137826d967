# Tells what this machine is, one fact a line: a word, a tab, the value. What cannot be read is left out. It reads /proc and /sys alone
# and needs a shell with cat, grep, head, od, readlink, sed, tr and uname, which every Linux has.
tab=$(printf '\t')
say() { if [ -n "$2" ]; then printf '%s\t%s\n' "$1" "$2"; fi; }
content() { { tr -d '\000' <"$1" | tr '\t' ' '; } 2>/dev/null; }

say host "$(uname -n)"
say kernel "$(uname -r)"
say architecture "$(uname -m)"

if [ -d /sys/firmware/efi ]; then
  say firmware uefi
elif [ -d /sys/firmware/devicetree/base ]; then
  say firmware board
else
  say firmware bios
fi
# four bytes of attributes come before the value
secure=/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c
if [ -r "$secure" ]; then say secure "$(od -An -tu1 -j4 -N1 "$secure" | tr -d ' ')"; fi

for fact in sys_vendor product_name product_serial product_uuid; do
  say "$fact" "$(content "/sys/class/dmi/id/$fact")"
done
say board_model "$(content /sys/firmware/devicetree/base/model)"
say board_serial "$(content /sys/firmware/devicetree/base/serial-number)"

sed -n "s/^model name[[:space:]]*:[[:space:]]*/cpu$tab/p" /proc/cpuinfo | head -n 1
say cores "$(grep -c '^processor' /proc/cpuinfo)"
sed -n "s/^MemTotal:[[:space:]]*\([0-9]*\) kB/memory$tab\1/p" /proc/meminfo
if [ -r /proc/modules ]; then sed "s/^\([^ ]*\).*/module$tab\1/" /proc/modules; fi

# cards: what has hardware behind it and speaks Ethernet (ARPHRD_ETHER, wireless ones too)
for card in /sys/class/net/*; do
  if ! [ -e "$card/device" ] || [ "$(content "$card/type")" != 1 ]; then continue; fi
  driver=$(readlink "$card/device/driver")
  wireless=
  if [ -e "$card/wireless" ] || [ -e "$card/phy80211" ]; then wireless=1; fi
  permanent=$(content "$card/bonding_slave/perm_hwaddr")
  printf 'card\t%s\t%s\t%s\t%s\t%s\t%s\n' "${card##*/}" "${permanent:-$(content "$card/address")}" "${driver##*/}" \
    "$(content "$card/carrier")" "$(content "$card/speed")" "$wireless"
done

sed "s/^/mount$tab/" /proc/self/mountinfo
for loop in /sys/block/loop*; do
  if [ -r "$loop/loop/backing_file" ]; then
    printf 'loop\t%s\t%s\n' "$(cat "$loop/dev")" "$(content "$loop/loop/backing_file")"
  fi
done
exit 0
