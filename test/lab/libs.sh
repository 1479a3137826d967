# Builder: the shared libraries of all Debian packages in one folder, $out/lib, which finds itself by its run path.
#
#   $debs  store paths of .deb files
#   $libc  the one of them whose libraries stay as they are: a C library does not survive patchelf
# shellcheck shell=bash disable=SC2154  # the variables above are the derivation's
set -euo pipefail
shopt -s nullglob
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
mkdir -p "$out/lib" unpacked

for deb in $debs; do dpkg-deb --fsys-tarfile "$deb" | tar --extract --no-same-permissions --no-same-owner --directory unpacked; done
for folder in {,usr/}lib/x86_64-linux-gnu{,/systemd,/nix} {,usr/}lib/systemd {,usr/}lib; do
	[[ -d unpacked/$folder ]] || continue
	find "unpacked/$folder" -maxdepth 1 \( -type f -o -type l \) -name '*.so*' -exec cp --archive --no-clobber -t "$out/lib" {} +
done
# what libraries load by themselves
for folder in engines-3 gconv ossl-modules; do
	[[ ! -d unpacked/usr/lib/x86_64-linux-gnu/$folder ]] || cp --archive "unpacked/usr/lib/x86_64-linux-gnu/$folder" "$out/lib/"
done
chmod -R u+w "$out"

own=" $(dpkg-deb --contents "$libc" | sed -n 's,.* \./.*lib/x86_64-linux-gnu/\([^/ ]*\)$,\1,p' | tr '\n' ' ') ld-linux-x86-64.so.2 "
for file in "$out"/lib/*.so* "$out"/lib/{engines-3,ossl-modules}/*.so; do
	if [[ -L $file ]]; then
		target=$(readlink "$file")
		[[ $target != */* ]] || ln -sfn "${target##*/}" "$file"
	elif [[ $own != *" ${file##*/} "* ]]; then
		patchelf --set-rpath "$out/lib" "$file" 2>/dev/null || echo "$file is no library" >&2
	fi
done
# its threads end with libgcc_s, which the C library loads by name: stage 1 copies only what is named in the file
patchelf --add-needed libgcc_s.so.1 "$(readlink -f "$out/lib/libcryptsetup.so.12")"
find "$out" -xtype l -delete
