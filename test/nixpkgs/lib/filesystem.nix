# Files and folders while evaluating.
{ lib }:
{
  pathType = path: (builtins.readDir (dirOf path)).${baseNameOf path} or (throw "path ${toString path} does not exist");
  pathIsDirectory = path: builtins.pathExists path && builtins.pathExists (path + "/.");
  pathIsRegularFile = path: builtins.pathExists path && lib.pathType path == "regular";
  listFilesRecursive =
    dir:
    lib.flatten (
      lib.mapAttrsToList (
        name: type: if type == "directory" then lib.filesystem.listFilesRecursive (dir + "/${name}") else dir + "/${name}"
      ) (builtins.readDir dir)
    );
}
