# What a clone needs is installed by the targets themselves (tests/provision.sh).
GO      ?= go
BIN     := bin/riscv-build
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
DATE    := $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.buildDate=$(DATE)
BUILD   := $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)'

export CGO_ENABLED := 0

# Without a home directory the go command has no place for its caches.
ifeq ($(strip $(HOME)),)
export GOCACHE    ?= $(CURDIR)/.cache/go-build
export GOMODCACHE ?= $(CURDIR)/.cache/go-mod
export GOPATH     ?= $(CURDIR)/.cache/go
endif

# `make accept B` means `make accept LINE=B`.
ifeq ($(firstword $(MAKECMDGOALS)),accept)
LINE ?= $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(eval $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS)):;@:)
endif

.PHONY: build demo test accept bench board lint release provision-demo provision-test clean

build:
	$(BUILD) -o $(BIN) ./cmd/riscv-build

demo: provision-demo
	$(GO) run -buildvcs=false ./tests/demo -bin $(CURDIR)/$(BIN)

test: provision-test
	$(GO) test -timeout 80m ./...

# The acceptance lines in full: all of them, or LINE.
accept: provision-test
	RISCV_BUILD_ACCEPT=full $(GO) test -p 1 -count=1 -timeout 12h -v ./tests ./tests/registry ./tests/board ./tests/remote ./tests/batch ./tests/service -run '^TestLine$(LINE)'

# The three source builds side by side: riscv-build, a Dockerfile under QEMU,
# native; the registry and its client beside those of others.
bench: provision-test
	RISCV_BUILD_ACCEPT=full $(GO) test -count=1 -p 1 -timeout 6h -v ./tests ./tests/registry -run '^TestBench'

# A simulated riscv64 board to work on, with this program on it; it is built when
# it is missing. bin/board exec COMMAND runs a command there, bin/board stop ends it.
board: SUITE ?= stable
board: provision-test
	GOOS=linux GOARCH=riscv64 $(BUILD) -o bin/riscv-build-linux-riscv64 ./cmd/riscv-build
	dir=$$(SUITE=$(SUITE) tests/board/make-board.sh) && printf '#!/bin/sh\nBOARD_DIR=%s BOARD_RUN=%s exec %s "$$@"\n' \
		"$$dir" "$(CURDIR)/.cache/board-$(SUITE)" "$(CURDIR)/tests/board/board.sh" >bin/board
	chmod +x bin/board
	PERSIST=1 bin/board start
	bin/board copy bin/riscv-build-linux-riscv64 /usr/local/bin/riscv-build
	bin/board exec 'riscv-build version'

lint:
	.ci/lint

# The program for every platform, with checksums: from one commit the same bytes,
# wherever they are made. The Go is the one that go.mod names.
PLATFORMS := linux/riscv64 linux/amd64 linux/arm64 darwin/arm64 darwin/amd64
RELEASE   := bin/release
release: export GOTOOLCHAIN := go$(shell sed -n 's/^go //p' go.mod)
release: export GOFLAGS := -mod=readonly
release: export GOAMD64 := v1
release: export GOARM64 := v8.0
release: export GORISCV64 := rva20u64
release:
	rm -f $(RELEASE)/riscv-build-* $(RELEASE)/SHA256SUMS
	set -e; unset GOEXPERIMENT; for p in $(PLATFORMS); do \
		GOOS=$${p%/*} GOARCH=$${p#*/} $(BUILD) -o $(RELEASE)/riscv-build-$${p%/*}-$${p#*/} ./cmd/riscv-build; \
	done
	cd $(RELEASE) && if command -v sha256sum >/dev/null; then sha256sum riscv-build-*; else shasum -a 256 riscv-build-*; fi >SHA256SUMS
	cat $(RELEASE)/SHA256SUMS

provision-demo provision-test: provision-%: build
	tests/provision.sh $* $(CURDIR)/$(BIN)

clean:
	-chmod -R u+w .cache 2>/dev/null
	rm -rf bin .cache
