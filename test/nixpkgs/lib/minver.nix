# The oldest Nix this library evaluates under. The stock file of this name holds "2.3".
"2.6"
