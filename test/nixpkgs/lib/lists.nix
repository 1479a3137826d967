# Lists.
{ lib }:
{
  inherit (builtins)
    all
    any
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    groupBy
    head
    isList
    length
    map
    partition
    tail
    ;
  singleton = x: [ x ];
  forEach = xs: f: map f xs;
  foldr =
    f: nul: list:
    let
      len = builtins.length list;
      go = n: if n == len then nul else f (builtins.elemAt list n) (go (n + 1));
    in
    go 0;
  fold = lib.foldr;
  foldl = builtins.foldl';
  imap0 = f: list: builtins.genList (n: f n (builtins.elemAt list n)) (builtins.length list);
  imap1 = f: list: builtins.genList (n: f (n + 1) (builtins.elemAt list n)) (builtins.length list);
  flatten = x: if builtins.isList x then builtins.concatMap lib.flatten x else [ x ];
  remove = e: builtins.filter (x: x != e);
  findSingle =
    pred: none: many: list:
    let
      found = builtins.filter pred list;
    in
    if found == [ ] then none else if builtins.length found == 1 then builtins.head found else many;
  findFirst =
    pred: default: list:
    let
      found = builtins.filter pred list;
    in
    if found == [ ] then default else builtins.head found;
  findFirstIndex =
    pred: default: list:
    lib.findFirst (i: pred (builtins.elemAt list i)) default (lib.range 0 (builtins.length list - 1));
  count = pred: list: builtins.length (builtins.filter pred list);
  optional = cond: x: if cond then [ x ] else [ ];
  optionals = cond: xs: if cond then xs else [ ];
  toList = x: if builtins.isList x then x else [ x ];
  range = first: last: if first > last then [ ] else builtins.genList (n: first + n) (last - first + 1);
  replicate = n: x: builtins.genList (_: x) n;
  zipListsWith =
    f: a: b:
    builtins.genList (n: f (builtins.elemAt a n) (builtins.elemAt b n)) (lib.min (builtins.length a) (builtins.length b));
  zipLists = lib.zipListsWith (fst: snd: { inherit fst snd; });
  reverseList = xs: let l = builtins.length xs; in builtins.genList (n: builtins.elemAt xs (l - n - 1)) l;
  sort = builtins.sort;
  sortOn = f: builtins.sort (a: b: f a < f b);
  compareLists =
    cmp: a: b:
    if a == [ ] then (if b == [ ] then 0 else -1) else if b == [ ] then 1 else
      let first = cmp (builtins.head a) (builtins.head b); in
        if first == 0 then
          lib.compareLists cmp (builtins.tail a) (builtins.tail b)
        else
          first;
  # numbers inside of strings count as numbers
  naturalSort =
    list:
    let
      parts = s: map (x: if builtins.isList x then lib.toInt (builtins.head x) else x) (builtins.split "(0|[1-9][0-9]*)" s);
    in
    map (p: p.text) (builtins.sort (a: b: a.parts < b.parts) (map (text: { inherit text; parts = parts text; }) list));
  take = count: list: lib.sublist 0 count list;
  drop = count: list: lib.sublist count (builtins.length list) list;
  sublist =
    start: count: list:
    let
      len = builtins.length list;
    in
    builtins.genList (n: builtins.elemAt list (n + start)) (lib.max 0 (lib.min count (len - start)));
  hasPrefix = a: b: lib.take (builtins.length a) b == a;
  last = list: builtins.elemAt list (builtins.length list - 1);
  init = list: lib.take (builtins.length list - 1) list;
  unique = builtins.foldl' (done: e: if builtins.elem e done then done else done ++ [ e ]) [ ];
  allUnique = list: builtins.length (lib.unique list) == builtins.length list;
  intersectLists = e: builtins.filter (x: builtins.elem x e);
  subtractLists = e: builtins.filter (x: !(builtins.elem x e));
  mutuallyExclusive = a: b: !(builtins.any (x: builtins.elem x a) b);
  crossLists = f: builtins.foldl' (fs: args: builtins.concatMap (g: map g args) fs) [ f ];
  groupBy' =
    op: nul: pred: list:
    builtins.mapAttrs (_: builtins.foldl' op nul) (builtins.groupBy pred list);
}
