package closure_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nixos-staged-hive/internal/stage/setup/closure"
	"nixos-staged-hive/internal/testbed/need"
)

// medium is a folder with a store of three paths: a tree with all kinds of entries, a file, and a link.
func medium(t *testing.T) (root string, paths []closure.Path) {
	t.Helper()
	need.Program(t, "nix-hash")
	root = t.TempDir()
	store := filepath.Join(root, "nix/store")
	tree := filepath.Join(store, "aaa-tree")
	for _, dir := range []string{"bin", "share/empty"} {
		must(t, os.MkdirAll(filepath.Join(tree, dir), 0o755))
	}
	write := func(name, text string, mode fs.FileMode) {
		must(t, os.WriteFile(name, []byte(text), mode))
		must(t, os.Chmod(name, mode))
	}
	write(filepath.Join(tree, "bin/tool"), "#!/bin/sh\n", 0o555)
	write(filepath.Join(tree, "share/seven"), "1234567", 0o444)
	write(filepath.Join(tree, "share/eight"), "12345678", 0o444)
	write(filepath.Join(tree, "share/nothing"), "", 0o444)
	must(t, os.Symlink("../share/seven", filepath.Join(tree, "bin/link")))
	write(filepath.Join(store, "bbb-file"), strings.Repeat("photo", 200_000), 0o444)
	must(t, os.Symlink("/nowhere", filepath.Join(store, "ccc-link")))

	var registration strings.Builder
	for _, name := range []string{"aaa-tree", "bbb-file", "ccc-link"} {
		out, err := exec.Command("nix-hash", "--type", "sha256", "--base32", filepath.Join(store, name)).Output()
		must(t, err)
		fmt.Fprintf(&registration, "/nix/store/%s\nsha256:%s\n%d\n\n1\n/nix/store/aaa-tree\n", name, strings.TrimSpace(string(out)), 1000)
	}
	paths, err := closure.Read(strings.NewReader(registration.String()))
	must(t, err)
	if len(paths) != 3 {
		t.Fatalf("%d paths read", len(paths))
	}
	return root, paths
}

func TestCopyIsTheSameTreeWithTheRightsOfAStore(t *testing.T) {
	from, paths := medium(t)
	to := t.TempDir()
	report, err := closure.Copy{From: from, To: to}.Run(t.Context(), paths)
	must(t, err)
	if report.Copied != 3 || report.Kept != 0 || report.Replaced != 0 {
		t.Errorf("report %+v", report)
	}
	same(t, from, to)
	for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o555, "bin/tool": 0o555, "share/seven": 0o444, "bin": fs.ModeDir | 0o555} {
		stat, err := os.Lstat(filepath.Join(to, "nix/store/aaa-tree", name))
		must(t, err)
		if stat.Mode() != want || stat.ModTime().Unix() != 1 {
			t.Errorf("%q: %s, %s; want %s and the first second of 1970", name, stat.Mode(), stat.ModTime(), want)
		}
	}
	left, err := os.ReadDir(filepath.Join(to, "nix"))
	must(t, err)
	if len(left) != 1 {
		t.Errorf("something beside the store is left: %v", left)
	}
}

func TestSecondRunReadsAndKeepsWhatIsRightAndReplacesWhatIsNot(t *testing.T) {
	from, paths := medium(t)
	to := t.TempDir()
	if _, err := (closure.Copy{From: from, To: to}).Run(t.Context(), paths); err != nil {
		t.Fatal(err)
	}
	// what a power failure leaves: a file without its content, and half a path beside the store
	photo := filepath.Join(to, "nix/store/bbb-file")
	must(t, os.Truncate(photo, 0))
	half := filepath.Join(to, "nix/.staged-hive-copying/aaa-tree")
	must(t, os.MkdirAll(half, 0o755))
	must(t, os.Chmod(half, 0o555))

	report, err := closure.Copy{From: from, To: to}.Run(t.Context(), paths)
	must(t, err)
	if report.Copied != 0 || report.Kept != 2 || report.Replaced != 1 {
		t.Errorf("report %+v, want two kept and one replaced", report)
	}
	same(t, from, to)
}

func TestDamagedMediumIsNoticedAndItsPathNeverAppears(t *testing.T) {
	from, paths := medium(t)
	to := t.TempDir()
	photo := filepath.Join(from, "nix/store/bbb-file")
	must(t, os.Chmod(photo, 0o644))
	f, err := os.OpenFile(photo, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte("X"), 777_777)
	must(t, errors.Join(err, f.Close()))

	_, err = closure.Copy{From: from, To: to}.Run(t.Context(), paths)
	var damaged *closure.DamagedError
	if !errors.As(err, &damaged) || damaged.Path != "/nix/store/bbb-file" {
		t.Fatalf("error %v, want a DamagedError of bbb-file", err)
	}
	if _, err := os.Lstat(filepath.Join(to, "nix/store/bbb-file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the damaged path is on the target: %v", err)
	}
}

func TestMissingPathOfTheMediumIsNamed(t *testing.T) {
	from, paths := medium(t)
	must(t, os.Remove(filepath.Join(from, "nix/store/ccc-link")))
	_, err := closure.Copy{From: from, To: t.TempDir()}.Run(t.Context(), paths)
	if err == nil || !strings.Contains(err.Error(), "ccc-link") {
		t.Errorf("error %v, want one that names ccc-link", err)
	}
}

func TestInterruptedCopyLeavesOnlyWholePathsAndIsTakenUpAgain(t *testing.T) {
	from, paths := medium(t)
	to := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := closure.Copy{From: from, To: to, Jobs: 1, Progress: func(done, _ int64) {
		if done > 100_000 {
			cancel()
		}
	}}.Run(ctx, paths)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want the cancellation", err)
	}
	if _, err := os.Lstat(filepath.Join(to, "nix/store/bbb-file")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the path that was on its way is there: %v", err)
	}
	if _, err := (closure.Copy{From: from, To: to}).Run(t.Context(), paths); err != nil {
		t.Fatal(err)
	}
	same(t, from, to)
}

func TestProgressEndsAtTheSumOfTheNARs(t *testing.T) {
	from, paths := medium(t)
	// the true sizes: those of the archives
	for i, p := range paths {
		out, err := exec.Command("nix-store", "--dump", filepath.Join(from, p.Name)).Output()
		must(t, err)
		paths[i].Bytes = int64(len(out))
	}
	var last, total int64
	_, err := closure.Copy{From: from, To: t.TempDir(), Jobs: 1, Progress: func(d, all int64) { last, total = d, all }}.Run(t.Context(), paths)
	must(t, err)
	// the archive's fixed words are counted as their lengths and padded bytes
	if last != total {
		t.Errorf("the last event says %d of %d bytes", last, total)
	}
}

func TestReadRefuses(t *testing.T) {
	sum := strings.Repeat("0", 52)
	for name, text := range map[string]string{
		"nothing":             "",
		"cut off":             "/nix/store/a\nsha256:" + sum + "\n5\n",
		"missing reference":   "/nix/store/a\nsha256:" + sum + "\n5\n\n2\n/nix/store/a\n",
		"another folder":      "/etc/passwd\nsha256:" + sum + "\n5\n\n0\n",
		"a way out":           "/nix/store/..\nsha256:" + sum + "\n5\n\n0\n",
		"a file in a path":    "/nix/store/a/b\nsha256:" + sum + "\n5\n\n0\n",
		"md5":                 "/nix/store/a\nmd5:" + sum + "\n5\n\n0\n",
		"a digit Nix has not": "/nix/store/a\nsha256:" + strings.Repeat("e", 52) + "\n5\n\n0\n",
		"too large a hash":    "/nix/store/a\nsha256:" + strings.Repeat("z", 52) + "\n5\n\n0\n",
		"size below zero":     "/nix/store/a\nsha256:" + sum + "\n-5\n\n0\n",
	} {
		if paths, err := closure.Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read as %v", name, paths)
		}
	}
}

func TestHashesOfAllSpellingsAreOne(t *testing.T) {
	need.Program(t, "nix-hash")
	raw := sha256.Sum256([]byte("x"))
	hex := fmt.Sprintf("%x", raw)
	b32, err := exec.Command("nix-hash", "--type", "sha256", "--to-base32", hex).Output()
	must(t, err)
	for _, spelled := range []string{hex, "sha256:" + hex, "sha256:" + strings.TrimSpace(string(b32)), "sha256-LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="} {
		paths, err := closure.Read(strings.NewReader("/nix/store/a\n" + spelled + "\n5\n\n0\n"))
		must(t, err)
		if paths[0].Hash != raw {
			t.Errorf("%s is read as %x", spelled, paths[0].Hash)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add("/nix/store/a\nsha256:" + strings.Repeat("0", 52) + "\n5\n\n1\n/nix/store/a\n")
	f.Fuzz(func(t *testing.T, text string) {
		paths, err := closure.Read(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, p := range paths {
			if filepath.Dir(p.Name) != "/nix/store" || filepath.Clean(p.Name) != p.Name || p.Bytes < 0 {
				t.Errorf("read %+v", p)
			}
		}
	})
}

// same compares two roots as diff does, links by where they point.
func same(t *testing.T, a, b string) {
	t.Helper()
	out, err := exec.Command("diff", "-r", "--no-dereference", filepath.Join(a, "nix/store"), filepath.Join(b, "nix/store")).CombinedOutput()
	if err != nil {
		t.Errorf("the trees differ: %v\n%s", err, out)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
