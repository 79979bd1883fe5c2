# What can be done here; `make` builds. SEEDS, FUZZTIME and SOAK scale the long
# ones: make sim SEEDS=100000, make fuzz FUZZTIME=1m, make soak SOAK=1h.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
GO ?= go
SEEDS ?= 1000
FUZZTIME ?= 10s
SOAK ?= 10m
VERSION ?= $(shell git describe --always --dirty 2>/dev/null || echo unknown)
TESTSUM := $(GO) run ./scripts/testsum

.PHONY: build demo test check sim fuzz soak bench vmtest install-deps docs clean

build:
	CGO_ENABLED=0 $(GO) build -ldflags '-X netbraid/internal/cli.Version=$(VERSION)' -o bin/netbraid ./cmd/netbraid

# See it work, in a network of its own (needs root).
demo: build
	@scripts/demo

# Every test that can run on this machine; says which are skipped, and why.
test: install-deps
	@rc=0; $(GO) test -count=1 -timeout 20m -json ./... | $(TESTSUM) || rc=1; \
	$(MAKE) --no-print-directory vmtest || rc=1; \
	exit $$rc

# What to run before a commit: formatting, vet, staticcheck, the short tests,
# 1,000 simulated seeds.
check:
	@unformatted=$$(gofmt -l .); [ -z "$$unformatted" ] || { echo "gofmt -w these: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	SEEDS=1000 $(GO) test -short -json ./... | $(TESTSUM)

# SEEDS random runs of the core on the simulated kernel.
sim:
	SEEDS=$(SEEDS) $(GO) test -count=1 -timeout 0 -run '^TestSimulation' -v ./internal/core ./internal/mirror

fuzz:
	FUZZTIME=$(FUZZTIME) scripts/fuzz

# The simulation, the simulated kernel against the real one, and the daemon on
# the real kernel, over and over for SOAK.
soak:
	scripts/soak $(SOAK)

bench:
	$(GO) test -run '^$$' -bench . -benchmem -timeout 30m ./...

# What needs kernel features that this machine may lack, under a test kernel.
vmtest:
	scripts/vmtest

# By apt, and only what is missing.
install-deps:
	@scripts/deps

# The pages that are made from the code.
docs: build
	bin/netbraid man --format markdown > docs/netbraid.8.md

clean:
	rm -rf bin
