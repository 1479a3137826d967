# Debian's perl looks for its modules where Debian has them.
# shellcheck shell=bash disable=SC2154  # read by repack.sh
interpreter perl "$out/bin/perl"
mv "$out/bin/perl" "$out/bin/.perl"
rm -f "$out"/bin/perl5.36*
folders=
for folder in lib/perl5/5.36 lib/perl5 share/perl5 lib/perl/5.36 share/perl/5.36 lib/perl-base; do folders+=${folders:+:}$out/$folder; done
cat >"$out/bin/perl" <<SCRIPT
#!$bash/bin/bash
export PERL5LIB=$folders\${PERL5LIB:+:\$PERL5LIB}
exec -a "\$0" $out/bin/.perl "\$@"
SCRIPT
chmod +x "$out/bin/perl"
