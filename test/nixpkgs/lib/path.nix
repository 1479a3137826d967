# Path values.
{ lib }:
{
  append = path: sub: path + "/${lib.removePrefix "./" sub}";
  hasPrefix = a: b: toString a == toString b || lib.strings.hasPrefix (toString a + "/") (toString b);
  removePrefix = a: b: "./" + lib.strings.removePrefix (toString a + "/") (toString b);
}
