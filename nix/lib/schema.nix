# Number of the JSON forms that cross between Go and Nix: facts, hive.json, host.json. internal/hive.Schema is its twin.
1
