# Tracing.
{ lib }:
{
  traceIf = condition: msg: x: if condition then builtins.trace msg x else x;
  traceVal = x: builtins.trace x x;
  traceValFn = f: x: builtins.trace (f x) x;
  traceSeq = x: y: builtins.trace (builtins.deepSeq x x) y;
  traceValSeq = x: builtins.trace (builtins.deepSeq x x) x;
  runTests =
    tests:
    builtins.filter (t: t != null) (
      lib.mapAttrsToList (
        name: t: if t.expr == t.expected then null else { inherit name; inherit (t) expected; result = t.expr; }
      ) tests
    );
}
