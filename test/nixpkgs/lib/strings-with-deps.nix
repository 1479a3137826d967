# Pieces of text that name the pieces they come after: activation scripts.
{ lib }:
{
  noDepEntry = text: { inherit text; deps = [ ]; };
  fullDepEntry = text: deps: { inherit text deps; };
  packEntry = deps: { text = ""; inherit deps; };
  stringAfter = deps: text: { inherit text deps; };
  textClosureList =
    all: names:
    let
      visit =
        state: name:
        if state.done ? ${name} then
          state
        else
          let
            entry = all.${name};
            before = builtins.foldl' visit (state // { done = state.done // { ${name} = true; }; }) (entry.deps or [ ]);
          in
          before // { list = before.list ++ [ (entry.text or entry) ]; };
    in
    (builtins.foldl' visit { done = { }; list = [ ]; } names).list;
  textClosureMap = f: all: names: lib.concatStringsSep "\n" (map f (lib.textClosureList all names));
}
