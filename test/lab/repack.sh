# Builder: Debian packages ($debs) become one tree of the shape nixpkgs gives its packages, below $out.
# It runs with this machine's dpkg-deb and patchelf; what it leaves refers to the Nix store alone.
#
#   $debs    store paths of .deb files
#   $libs    the shared libraries of all Debian packages, the dynamic linker included; empty: leave programs as they are
#   $bash    where /bin/sh and /bin/bash of scripts become; $perl likewise. Empty: this package itself
#   $tools   packages whose programs the commands need
#   $fix     commands of the table's row, run before scripts and programs are adapted
#   $finish  the same, run after
# shellcheck shell=bash disable=SC2154  # the variables above are the derivation's
set -euo pipefail
shopt -s nullglob dotglob
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
for tool in $tools; do PATH=$tool/bin:$PATH; done
here=$PWD
mkdir -p "$out" "$here/unpacked"

unpack() {
	local deb
	for deb in $debs; do
		# a builder may not set the setuid bit; NixOS makes its own wrappers
		dpkg-deb --fsys-tarfile "$deb" | tar --extract --no-same-permissions --no-same-owner --directory "$here/unpacked"
	done
}

# gather DESTINATION SOURCE...: the contents of all sources in one folder
gather() {
	local to=$out/$1 from
	shift
	for from in "$@"; do
		[[ -d $here/unpacked/$from ]] || continue
		mkdir -p "$to"
		cp --archive --remove-destination "$here/unpacked/$from/." "$to/"
	done
}

arrange() {
	# sbin first: it often has a link to the program in bin
	gather bin sbin usr/sbin bin usr/bin
	gather lib lib usr/lib
	gather libexec usr/libexec
	gather etc etc
	gather share usr/share
	gather boot boot
	if [[ -d $out/lib/x86_64-linux-gnu ]]; then
		cp --archive --remove-destination "$out/lib/x86_64-linux-gnu/." "$out/lib/"
		rm -r "$out/lib/x86_64-linux-gnu"
	fi
	rm -rf "${out:?}"/lib64 "$out"/share/{bash-completion,bug,doc,doc-base,gtk-doc,info,lintian,locale,man}
	chmod -R u+w "$out"
	if [[ -d $out/bin ]]; then ln -s bin "$out/sbin"; fi
}

# mend_link LINK: a link of Debian's file system points into this package, or goes
mend_link() {
	local link=$1 to candidate
	to=$(readlink "$link")
	case $to in
	/nix/store/* | /dev/* | /run/* | /proc/*) return ;;
	/etc/alternatives/*) ;;
	/*)
		to=${to#/usr} to=${to/#\/sbin\//\/bin\/} to=${to/\/lib\/x86_64-linux-gnu\//\/lib\/}
		if [[ -e $out$to ]]; then
			ln -sfn "$out$to" "$link"
			return
		fi
		;;
	*)
		[[ ! -e $link ]] || return 0
		to=${to##*/}
		for candidate in "$out/bin/$to" "$out/lib/systemd/$to" "$out/lib/$to"; do
			if [[ -e $candidate && $candidate != "$link" ]]; then
				ln -sfn "$candidate" "$link"
				return
			fi
		done
		;;
	esac
	rm "$link"
}

mend_links() {
	local link
	while IFS= read -r -d '' link; do mend_link "$link"; done < <(find "$out" -type l -print0)
}

# interpreter NAMES PATH: scripts for one of NAMES (an expression) get PATH in their first line
interpreter() {
	local file
	while IFS= read -r -d '' file; do
		[[ -f $file && ! -L $file ]] || continue
		sed -i -E "1s,^#! ?(/usr)?/bin/(env )?($1),#!$2," "$file"
	done < <(grep -rIlZE --exclude-dir=modules "^#! ?(/usr)?/bin/(env )?($1)" "$out" || true)
}

# ours PATHS: those of a run path of Debian that lie in this package
ours() {
	local entry found=
	while IFS= read -r -d : entry; do
		entry=${entry#/usr} entry=${entry/\/x86_64-linux-gnu/}
		[[ -n $entry && $entry != /lib && -d $out$entry ]] && found+=$out$entry:
	done <<<"$1:"
	printf %s "$found"
}

link_program() {
	local file=$1 paths
	paths=$(ours "$(patchelf --print-rpath "$file" 2>/dev/null || true)")$libs/lib
	if patchelf --print-interpreter "$file" >/dev/null 2>&1; then
		# the older kind of run path: it also holds for what the C library loads (NSS, libgcc_s), which has none itself
		patchelf --set-interpreter "$libs/lib/ld-linux-x86-64.so.2" --force-rpath --set-rpath "$paths" "$file"
	elif [[ -n $(patchelf --print-needed "$file" 2>/dev/null || true) ]]; then
		patchelf --set-rpath "$paths" "$file"
	fi
}

link_programs() {
	local file magic
	while IFS= read -r -d '' file; do
		IFS= read -r -N4 magic <"$file" 2>/dev/null || continue
		[[ $magic != $'\x7fELF' ]] || link_program "$file"
	done < <(find "$out" -type f -size +1k ! -name '*.ko' ! -name '*.o' \
		! -path '*/lib/modules/*' ! -path '*/lib/grub/*' ! -path '*/lib/syslinux/*' ! -path '*/lib/ISOLINUX/*' -print0)
}

unpack
arrange
mend_links
eval "$fix"
interpreter '(ba|da)?sh' "${bash:-$out}/bin/bash"
[[ -z $perl ]] || interpreter perl "$perl/bin/perl"
[[ -z $libs ]] || link_programs
eval "$finish"
