package hive

import "strings"

// rename gives a host another definition name, and the host name that defaults to it.
func rename(h *Host, name string) {
	h.Name, h.HostName, h.Definition = name, name, "nixConfigs/"+name+".nix"
}

func nameCases() []ruleCase {
	named := func(name string, change func(h []Host), want []string, says, way string) ruleCase {
		return ruleCase{rule: "definition-name", name: name, change: change, want: want, says: says, way: way}
	}
	return []ruleCase{
		named("a comma splits the name", func(h []Host) { rename(&h[0], "al,pha") }, []string{"error al,pha"}, "`--on`", "for example to al-pha"),
		named("an at sign is a tag", func(h []Host) { rename(&h[0], "@alpha") }, []string{"error @alpha"}, "`--on`", "to alpha"),
		named("a glob", func(h []Host) { rename(&h[0], "alpha[1]") }, []string{"error alpha[1]"}, "`--on`", "to alpha-1"),
		named("a blank", func(h []Host) { rename(&h[0], "al pha") }, []string{"error al pha"}, "`--on`", "to al-pha"),
		named("a flag", func(h []Host) { rename(&h[0], "-alpha") }, []string{"error -alpha"}, "a flag", "to alpha"),
		named("one of our folders", func(h []Host) { rename(&h[0], "_hive") }, []string{"error _hive"}, "folder of ours", "to hive"),
		named("reserved by Colmena", func(h []Host) { rename(&h[0], "defaults") }, []string{"error defaults"}, "reserved", "to host-defaults1"),
		named("reserved by the tree", func(h []Host) { rename(&h[0], "hive.json") }, []string{"error hive.json"}, "reserved", "to hive-json"),
		named("a number", func(h []Host) { rename(&h[0], "1") }, []string{"error 1"}, "a place in a list", "to host-1"),
		named("a bad name with a good host name is still bad", func(h []Host) { h[0].Name = "a*" }, []string{"error a*"}, "`--on`", "to a"),
		named("letters digits and hyphens pass", func(h []Host) { rename(&h[0], "7of9-Seven") }, nil, "", ""),
		{
			rule: "host-name", name: "too long", change: func(h []Host) { h[0].HostName = strings.Repeat("a", 64) },
			want: []string{"error alpha networking.hostName"}, says: "is no host name", way: strings.Repeat("a", 63),
		},
		{
			rule: "host-name", name: "a dot belongs to the domain", change: func(h []Host) { h[0].HostName = "alpha.home" },
			want: []string{"error alpha networking.hostName"}, says: "is no host name", way: `networking.hostName = "alpha-home";`,
		},
		{
			rule: "host-name", name: "an underscore", change: func(h []Host) { h[0].HostName = "al_pha" },
			want: []string{"warning alpha networking.hostName"}, says: "underscore", way: `"al-pha"`,
		},
		{
			rule: "host-name", name: "empty", change: func(h []Host) { h[0].HostName = "" },
			want: []string{"warning alpha networking.hostName"}, says: "is empty", way: `"alpha"`,
		},
		{rule: "host-name", name: "may differ from the definition", change: func(h []Host) { h[0].HostName = "web-1" }},
		{
			rule: "tag", name: "a comma, a glob and nothing", change: func(h []Host) { h[0].Deployment.Tags = []string{"a,b", "ok", "c*", ""} },
			want: []string{"error alpha deployment.tags"}, says: `"a,b", "c*" and ""`, way: "letters, digits",
		},
		{rule: "tag", name: "colons and dots pass", change: func(h []Host) { h[0].Deployment.Tags = []string{"role:server", "site.cellar"} }},
		{rule: "duplicate-host-name", name: "three hosts of one name are one problem", change: func(h []Host) {
			h[0].HostName, h[1].HostName, h[2].HostName = "same", "Same", "same"
		}, want: []string{"error gamma networking.hostName"}, says: `"same.home.arpa", like alpha and beta`, way: `networking.hostName = "gamma";`},
		{rule: "duplicate-host-name", name: "one name in two domains", change: func(h []Host) { h[1].HostName, h[1].Domain = "alpha", "lab.arpa" }},
	}
}
