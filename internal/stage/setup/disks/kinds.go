package disks

import "strings"

// guids are the types of partitions that sgdisk has codes for and that definitions use (sgdisk --list-types, 1.0.10; UEFI specification 2.10,
// table 5.7; https://uapi-group.org/specifications/specs/discoverable_partitions_specification).
func guids() map[string]string {
	return map[string]string{
		"EF00": "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
		"EF02": "21686148-6449-6e6f-744e-656564454649",
		"8200": "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
		"8300": "0fc63daf-8483-4772-8e79-3d69d8477de4",
		"8302": "933ac7e1-2eb4-4f13-b844-0e14e2aef915",
		"8303": "44479540-f297-41b2-9af7-d131d5f0458a",
		"8304": "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
		"8305": "b921b045-1df0-41c3-af44-4c6f280d3fae",
		"8309": "ca7d7ccb-63ed-4c53-861c-1742536059cc",
		"8E00": "e6d6d379-f507-44c2-a23c-238f2a3df928",
		"FD00": "a19d880f-05fc-4d3b-a006-743f0f84911e",
		"BF00": "6a85cf4d-1dd2-11b2-99a6-080020736631",
		"BF01": "6a898cc3-1dd2-11b2-99a6-080020736631",
		"0700": "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
		"0C01": "e3c9e316-0b5c-4db8-817d-f92df00215ae",
		"2700": "de94bba4-06d1-4d40-a16a-bfd50179d6ac",
		"EA00": "bc13c2ff-59e6-4262-a352-b275fd6f7172",
	}
}

// guidOf gives the GUID of a type as a definition spells it: a code of sgdisk, or a GUID itself. Empty is one we do not know.
func guidOf(kind string) string {
	if len(kind) == len("c12a7328-f81f-11d2-ba4b-00a0c93ec93b") {
		return strings.ToLower(kind)
	}
	return guids()[strings.ToUpper(kind)]
}

// kindNames says what a partition is for whose contents say nothing.
func kindNames() map[string]string {
	return map[string]string{
		guidOf("EF00"): "EFI system partition", guidOf("EF02"): "BIOS boot partition", guidOf("0C01"): "Microsoft reserved partition",
		guidOf("2700"): "Windows recovery", guidOf("0700"): "Windows data", guidOf("8200"): "Linux swap", guidOf("8300"): "Linux data",
		guidOf("8304"): "Linux root",
	}
}
