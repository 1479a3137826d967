# Conditions.
{ lib }:
{
  assertMsg = condition: msg: condition || builtins.throw msg;
  assertOneOf =
    name: value: values:
    lib.assertMsg (builtins.elem value values) "${name} must be one of ${lib.generators.toPretty { } values}, but is: ${lib.generators.toPretty { } value}";
}
