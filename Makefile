# One entry point for people and for both CIs: `.ci/run` calls these targets and nothing else.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: run test image deb bench lint fmt e2e soak fuzz fuzz-smoke tools doc clean help hardening sbom dist repro deny

TRIPLE := $(shell sed -n 's/^target = "\(.*\)"$$/\1/p' .cargo/config.toml)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)/$(TRIPLE)
DENY_VERSION := 0.20.2
CYCLONEDX_VERSION := 0.5.9
AUDITABLE_VERSION := 0.7.7
DENY := .tools/bin/cargo-deny --locked --config .cargo/deny.toml
# ARCH=amd64 or ARCH=arm64 builds for that architecture, into a directory of its own.
DIST := $(or $(CARGO_TARGET_DIR),target)/dist$(addprefix /,$(ARCH))
export ARCH
DEB_VERSION := 3.8.0
FUZZ_VERSION := 0.13.2

export PATH := $(CURDIR)/.tools/bin:$(PATH)

##@ Use it

run: ## Build, keep the quickstart's files in sync in ./run, show them; Ctrl-C stops
	cargo build --locked
	@exec .ci/quickstart $(TARGET_DIR)/debug/secrets-sync

test: tools ## All tests, documentation tests included; some talk to a real OpenBao
	if command -v cargo-nextest >/dev/null; then cargo nextest run --locked --no-fail-fast; else cargo test --locked --all-targets --no-fail-fast; fi
	cargo test --locked --doc

image: ## The container image, from the static binary, once that is checked
	@.ci/target >/dev/null
	@.ci/image --check
	@.ci/cargo-tool cargo-auditable $(AUDITABLE_VERSION)
	binary=$$(.ci/release); .ci/hardening "$$binary"; .ci/image "$$binary"

deb: ## The Debian package with the service, in target/dist, from the checked binary
	@.ci/target >/dev/null
	@.ci/cargo-tool cargo-auditable $(AUDITABLE_VERSION)
	@.ci/cargo-tool cargo-deb $(DEB_VERSION)
	binary=$$(.ci/release); .ci/hardening "$$binary"; .ci/deb "$$binary" $(DIST)

bench: tools ## The binary that ships and bao agent in turn: time, requests, memory, idle time, size
	@.ci/cargo-tool cargo-auditable $(AUDITABLE_VERSION)
	binary=$$(.ci/release); cargo bench --locked --profile dev --bench sync -- "$$binary"

##@ Change it

lint: ## Format, clippy and rustdoc, warnings are errors
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo metadata --locked --format-version 1 --manifest-path fuzz/Cargo.toml >/dev/null # its lock file follows ours
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps

fmt: ## Format the sources
	cargo fmt
	cargo fmt --manifest-path fuzz/Cargo.toml

e2e: tools ## The suite tests/e2e, declared `test = false` so that `make test` leaves it out
	@.ci/tools chromium
	@.ci/tools containers
	@.ci/cargo-tool cargo-deb $(DEB_VERSION)
	cargo test --locked --test e2e -- --test-threads=1

soak: tools ## A server that fails in every way, 200 secrets, readers that look all the time; then kills: make soak MINUTES=5 KILLS=500
	cargo test --locked --test soak -- $(or $(MINUTES),2) $(or $(KILLS),10000) $(if $(FAULT),'$(FAULT)')

fuzz: ## Fuzz targets in turn: make fuzz SECONDS=60 TARGET=config (docs/fuzzing.md)
	@.ci/cargo-tool cargo-fuzz $(FUZZ_VERSION)
	.ci/fuzz $(or $(SECONDS),60) $(TARGET)

fuzz-smoke: ## Each fuzz target for a few seconds, on stable, from the same start each time
	@.ci/cargo-tool cargo-fuzz $(FUZZ_VERSION)
	SEED=1 .ci/fuzz 6

tools: ## OpenBao, promtool and a validator of JSON Schema for the tests, in .tools (`make e2e` installs a browser and container engines)
	@.ci/tools

doc: ## API documentation, private items included
	cargo doc --locked --no-deps --document-private-items
	@echo "$(TARGET_DIR)/doc/secrets_sync/index.html"

clean: ## Remove what was built and what `make run` wrote
	cargo clean
	rm -rf run

help: ## This list
	@sed -n 's/^##@ \(.*\)/\n\1/p; s/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

##@ Release it

hardening: ## Build what ships and check it: static-pie, RELRO, no executable stack, stripped, no build paths
	@.ci/cargo-tool cargo-auditable $(AUDITABLE_VERSION)
	.ci/hardening "$$(.ci/release)"

sbom: ## CycloneDX bill of materials, checked, in target/dist; `make dist` puts the binary's SHA-256 into it
	@.ci/cargo-tool cargo-cyclonedx $(CYCLONEDX_VERSION)
	.ci/sbom $(DIST)/secrets-sync.cdx.json

dist: ## What is released, in target/dist: the checked binary, its bill of materials, SHA256SUMS, manual pages and completions; ARCH=arm64 builds for arm64
	@.ci/target >/dev/null
	@.ci/cargo-tool cargo-cyclonedx $(CYCLONEDX_VERSION)
	@.ci/cargo-tool cargo-auditable $(AUDITABLE_VERSION)
	binary=$$(.ci/release); .ci/hardening "$$binary"; \
	install -D -m 0755 "$$binary" $(DIST)/secrets-sync; .ci/extras "$$binary" $(DIST)/share; \
	.ci/sbom $(DIST)/secrets-sync.cdx.json "$$binary"; \
	cd $(DIST); sha256sum secrets-sync secrets-sync.cdx.json | tee SHA256SUMS

repro: ## Build the committed tree twice, in different places: the same bytes or a failure; PROFILE=dev is quicker
	@.ci/cargo-tool cargo-auditable $(AUDITABLE_VERSION)
	.ci/repro

deny: ## Licences, bans, sources and advisories of every dependency; ADVISORIES=required takes the fetched database alone
	@.ci/cargo-tool cargo-deny $(DENY_VERSION)
	$(DENY) check bans licenses sources
	if timeout 120 $(DENY) fetch db >/dev/null 2>&1; then \
	  $(DENY) check advisories; echo 'advisories: from the database of RustSec, fetched now'; \
	elif [ '$(ADVISORIES)' = required ]; then \
	  echo 'advisories: NOT checked: the database of RustSec cannot be fetched from here, and ADVISORIES=required asks for it' >&2; exit 1; \
	else .ci/advisories; fi
