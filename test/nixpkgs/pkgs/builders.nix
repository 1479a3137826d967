# Builders. A text file needs nothing but /bin/sh. Folders and executables need mkdir, ln and chmod of the machine as well:
# no shell has them built in, and a miniature has no coreutils. So the sandbox is off where the miniature builds.
{ lib, pkgs }:
let
  inherit (pkgs.hostPlatform) system;
  name' = name: lib.strings.sanitizeDerivationName name;

  # The text goes through a file: one environment variable cannot hold more than 128 KiB.
  copyText = target: ''
    { while IFS= read -r line; do printf '%s\n' "$line"; done; printf '%s' "$line"; } < "$textPath" > "${target}"
  '';
  withTools = "export PATH=/run/current-system/sw/bin:/usr/bin:/bin\n";

  shell =
    name: attrs: script:
    let
      drv = derivation (
        {
          name = name' name;
          inherit system;
          builder = "/bin/sh";
          args = [ "-euc" script ];
          preferLocalBuild = true;
        }
        // removeAttrs attrs [ "meta" "passthru" ]
      );
    in
    drv // (attrs.passthru or { }) // {
      meta = attrs.meta or { };
      overrideAttrs = f: shell name (attrs // (if lib.isFunction f then f attrs else f)) script;
    };

  # Links everything below the given folders into one.
  linkFolders = ''
    join() {
      mkdir -p "$2"
      for entry in "$1"/* "$1"/.[!.]*; do
        if [ -d "$entry" ] && [ ! -L "$2/''${entry##*/}" ]; then join "$entry" "$2/''${entry##*/}"
        elif [ -e "$entry" ] || [ -L "$entry" ]; then [ -e "$2/''${entry##*/}" ] || ln -s "$entry" "$2/''${entry##*/}"
        fi
      done
    }
    mkdir -p "$out"
    for folder in $folders; do
      if [ -d "$folder" ]; then join "$folder" "$out"; fi
    done
  '';
in
{
  writeTextFile =
    {
      name,
      text,
      executable ? false,
      destination ? "",
      checkPhase ? "",
      meta ? { },
      ...
    }:
    shell name
      {
        inherit text meta;
        passAsFile = [ "text" ];
      }
      (
        if !executable && destination == "" then
          copyText "$out"
        else
          ''
            ${withTools}
            target="$out${destination}"
            mkdir -p "''${target%/*}"
            ${copyText "$target"}
            ${lib.optionalString executable "chmod +x \"$target\""}
          ''
      );
  writeText = name: text: pkgs.writeTextFile { inherit name text; };
  writeTextDir = path: text: pkgs.writeTextFile { name = baseNameOf path; inherit text; destination = "/${path}"; };
  writeScript = name: text: pkgs.writeTextFile { inherit name text; executable = true; };
  writeScriptBin = name: text: pkgs.writeTextFile { inherit name text; executable = true; destination = "/bin/${name}"; meta.mainProgram = name; };
  # /bin/sh and not a shell of our own: the scripts of the miniature can be run where they were built.
  writeShellScript = name: text: pkgs.writeScript name "#!/bin/sh\n${text}\n";
  writeShellScriptBin = name: text: pkgs.writeScriptBin name "#!/bin/sh\n${text}\n";
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      ...
    }:
    pkgs.writeShellScriptBin name "set -eu\nexport PATH=\"${lib.makeBinPath runtimeInputs}:$PATH\"\n${text}";
  writeReferencesToFile = path: pkgs.writeText "references" "${path}\n";

  runCommand = name: env: command: shell name env "${withTools}\n${command}";
  runCommandLocal = pkgs.runCommand;
  runCommandNoCC = pkgs.runCommand;
  runCommandCC = pkgs.runCommand;
  runCommandWith = { name, derivationArgs ? { }, ... }: pkgs.runCommand name derivationArgs;

  symlinkJoin = { name, paths, postBuild ? "", ... }: shell name { folders = paths; } "${withTools}${linkFolders}${postBuild}";
  buildEnv = { name, paths, postBuild ? "", ... }: shell name { folders = paths; } "${withTools}${linkFolders}${postBuild}";
  linkFarm =
    name: entries:
    let
      list = if builtins.isAttrs entries then lib.mapAttrsToList (name: path: { inherit name path; }) entries else entries;
    in
    shell name { } (
      withTools
      + "mkdir -p $out\n"
      + lib.concatMapStrings (e: "mkdir -p \"$(dirname $out/${lib.escapeShellArg e.name})\"\nln -s ${e.path} $out/${lib.escapeShellArg e.name}\n") list
    );
  linkFarmFromDrvs = name: drvs: pkgs.linkFarm name (map (drv: { inherit (drv) name; path = drv; }) drvs);

  # The real one writes a registration for nix-store --load-db too; here only the paths the closure starts from.
  closureInfo =
    { rootPaths }:
    shell "closure-info" { inherit rootPaths; } ''
      ${withTools}
      mkdir -p $out
      for path in $rootPaths; do echo $path; done > $out/store-paths
      echo 0 > $out/total-nar-size
      : > $out/registration
    '';
  # Each module alone: which others it needs, only a kernel knows.
  makeModulesClosure =
    { rootModules, kernel, firmware ? [ ], allowMissing ? false }:
    shell "${kernel.name}-shrunk" { inherit rootModules; } ''
      ${withTools}
      mkdir -p $out/lib/modules/${kernel.version}
      for module in $rootModules; do : > $out/lib/modules/${kernel.version}/$module.ko.xz; done
    '';
  makeWrapper = pkgs.hello;
  makeInitrdNG = args: pkgs.writeText (args.name or "initrd") "a stand-in for an initrd\n";
}
