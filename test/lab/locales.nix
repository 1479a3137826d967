# Locales for Debian's C library, made by its own localedef; the interface is that of nixpkgs' glibcLocales.
{
  lib,
  lab,
  runCommand,
  allLocales ? true,
  locales ? [ ],
}:
runCommand "glibc-locales-debian"
  {
    # all would take minutes, and nobody rehearses in all languages
    wanted = lib.unique (map (lib.removeSuffix "\n") (if allLocales then [ "C.UTF-8/UTF-8" "en_US.UTF-8/UTF-8" ] else locales));
  }
  ''
    mkdir -p $out/lib/locale
    export I18NPATH=${lab.packages.locales-sources}/share/i18n
    for entry in $wanted; do
      locale=''${entry%/*} charset=''${entry#*/}
      modifier=
      case $locale in *@*) modifier=@''${locale#*@} ;; esac
      source=''${locale%%[.@]*}$modifier
      # the C library looks for a charset in lower case and without hyphens
      codeset=$(echo "$charset" | tr -d - | tr A-Z a-z)
      echo "$locale: $source, $charset"
      ${lab.glibc}/bin/localedef -i "$source" -f "$charset" --no-warnings=ascii "$out/lib/locale/''${locale%%[.@]*}.$codeset$modifier"
    done
  ''
