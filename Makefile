# The two commands a newcomer needs are `make demo` and `make test`. Both do all set-up themselves: they install Nix from the
# distribution if it is missing (as root or with sudo) and say what to do where they cannot.

# A missing or old Go is never replaced behind the user's back: scripts/ensure-go.sh says how to get one.
export GOTOOLCHAIN := local
# Where the archive from go.dev puts it; login shells often know, make's does not.
export PATH := $(PATH):/usr/local/go/bin

GO := go
PROGRAM := build/nixos-staged-hive
LINTER := $(GO) tool -modfile=tools/go.mod golangci-lint

BASE := 0
POINTS := 200
CASES := 200
MINUTES := 0

.PHONY: help demo lab trials matrix faults test build lint docs bench clean ensure-go ensure-programs

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: ensure-programs build ## set up, build, and run the main job on every example
	@scripts/with-nix.sh scripts/demo.sh $(PROGRAM)

lab: ensure-programs build ## two machines from blank disks to the deployed hive, in virtual machines (ARGS="--from mini": from there)
	@scripts/ensure-programs.sh qemu-system-x86_64 qemu-img ssh patchelf gcc
	@scripts/with-nix.sh scripts/lab.sh $(PROGRAM) $(ARGS)

trials: ensure-programs build ## hard installations of real NixOS in virtual machines (TRIALS=all; else one, another each day)
	@scripts/ensure-programs.sh qemu-system-x86_64 qemu-img ssh patchelf gcc
	@scripts/with-nix.sh scripts/lab-trials.sh $(PROGRAM) $(TRIALS)

matrix: ensure-programs ## installations that lose power, in virtual machines, and faults (POINTS=200 from BASE=0; BASE=-1: the day's; MINUTES=N: no new point after that)
	@scripts/ensure-programs.sh qemu-system-x86_64 qemu-img ssh patchelf gcc mcopy
	@scripts/with-nix.sh $(GO) test ./test/matrix -run TestCrash -count=1 -v -timeout 12h -matrix.base=$(BASE) -matrix.points=$(POINTS) -matrix.minutes=$(MINUTES)
	@test $(MINUTES) != 0 || $(MAKE) --no-print-directory faults

faults: ensure-programs ## activations of hosts on which something goes wrong, as root (CASES=200 from BASE=0)
	@scripts/ensure-programs.sh debootstrap nft ssh sudo ip
	@scripts/with-nix.sh $(GO) test ./test/faults -count=1 -v -timeout 12h -faults.limit=11h -faults.base=$(BASE) -faults.cases=$(CASES)

test: ensure-programs ## set up, and run all tests
	@scripts/with-nix.sh scripts/test.sh

build: ensure-go ## build/nixos-staged-hive, static
	@mkdir -p build
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w' -o $(PROGRAM) ./cmd/nixos-staged-hive

lint: ensure-go ## all linters; the first time builds them, some minutes
	$(LINTER) run ./...
	@if command -v shellcheck >/dev/null; then shellcheck scripts/*.sh .ci/run; \
	else echo 'shellcheck is not installed: the scripts were not looked at'; fi

docs: ensure-programs ## regenerate what is generated in docs/
	@scripts/with-nix.sh scripts/docs.sh

bench: ensure-programs build ## measure what the numbers in bench/ claim
	@scripts/with-nix.sh bench/run.sh

clean: ## remove what was built
	rm -rf build

ensure-go:
	@scripts/ensure-go.sh

ensure-programs: ensure-go
	@scripts/ensure-programs.sh
