package stages

import (
	"encoding/json"
	"reflect"
	"testing"

	"nixos-staged-hive/internal/hive"
	"nixos-staged-hive/internal/testbed/need"
)

// TestTheMiniatureSaysOfEveryExampleWhatTheRealTreeSays keeps the miniatures honest: what our code reads from them is what it
// would read from NixOS and disko.
func TestTheMiniatureSaysOfEveryExampleWhatTheRealTreeSays(t *testing.T) {
	need.Program(t, "nix-instantiate")
	nixpkgs, disko := need.Mini(t)
	miniature := trees{"miniature", nixpkgs, disko}
	nixpkgs, disko = need.Tree(t)
	genuine := trees{"real", inStore(t, nixpkgs), inStore(t, disko)}
	for _, example := range examples(t) {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			got := plainFacts(t, hosts(t, workspace(t, example, miniature)))
			want := plainFacts(t, hosts(t, workspace(t, example, genuine)))
			if len(got) != len(want) {
				t.Fatalf("the miniature knows %d hosts, the real tree %d", len(got), len(want))
			}
			for i := range want {
				for key, value := range want[i] {
					if !reflect.DeepEqual(got[i][key], value) {
						t.Errorf("%v: %s differs:\nminiature %s\nreal      %s", want[i]["name"], key, asJSON(got[i][key]), asJSON(value))
					}
				}
			}
		})
	}
}

// plainFacts are the facts of hosts as plain data, without the version and place of the tree they came from.
func plainFacts(t *testing.T, all []hive.Host) []map[string]any {
	t.Helper()
	for i := range all {
		all[i].NixOS = hive.Release{Release: all[i].NixOS.Release}
	}
	b, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	var plain []map[string]any
	if err := json.Unmarshal(b, &plain); err != nil {
		t.Fatal(err)
	}
	return plain
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
