# Everything that you can do with this source. Each target installs what it needs if it runs as the root user on Debian.
# On other systems, it prints what to install.

SHELL := /bin/bash
# The architecture of the program and its packages. The tests run on amd64.
ARCH = amd64
$(if $(filter amd64 arm64,$(ARCH)),,$(error ARCH is amd64 or arm64))
TRIPLE := $(if $(filter arm64,$(ARCH)),aarch64,x86_64)-unknown-linux-gnu
BUILT := $(or $(CARGO_TARGET_DIR),target)
TARGET := $(BUILT)/x86_64-unknown-linux-gnu
RELEASE := $(BUILT)/$(TRIPLE)/release/kube-audit-bootstrap
DEBUG := $(TARGET)/debug/kube-audit-bootstrap
HARNESS := $(TARGET)/debug/vm-tests
VERSION := $(shell image/version.sh)
PACKAGE := target/packages/kube-audit-bootstrap_$(VERSION)-1_$(ARCH).deb
PREFIX ?= /usr/local
ROUNDS ?= 100
# The factor by which the time limits of tests are longer, for a slow machine.
export PATIENCE ?= 1

.PHONY: help build demo check test test-program test-kubernetes slice vm-tests test-all matrix judge corpus scanners mutants fuzz bench \
	docs packages oci arm64 install clean harness

help: ## Show this help
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F '|' '{ printf "  make %-9s %s\n", $$1, $$2 }'

build: ## Build the release program
	@tests/setup.sh cc $(if $(filter arm64,$(ARCH)),aarch64-linux-gnu-gcc)
	image/build.sh $(TRIPLE)

demo: build ## Show the main job on a sample node: plan, apply, apply again, status, restore
	@tests/demo.sh $(RELEASE)

check: ## Check the format and the lints, and run the fast tests
	@tests/setup.sh cc cargo-fmt cargo-clippy jq
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --locked --all-targets --features docs -- -D warnings
	cargo clippy --locked -p vm-tests --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps --document-private-items
	cargo test --locked
	cargo test --locked -p vm-tests

test: ## Run make check and the slow tests: faults, the release build, packages, and real Kubernetes as the judge
	@tests/setup.sh cc cargo-fmt
	# This installs Rust's toolchain before two builds start at the same time.
	cargo fmt --all --check
	tests/beside.sh '$(MAKE) --no-print-directory test-program' '$(MAKE) --no-print-directory test-kubernetes'

# The part of `make test` with real Kubernetes. Its nodes wait more than they work, so it also tests the packages.
test-kubernetes: build
	tests/packages.sh $(RELEASE)
	tests/real.sh $(RELEASE) $(PACKAGE)

slice: packages oci harness ## Run a part of what otherwise only test-all runs, chosen by the commit or SLICE=0 to 6; ten minutes
	tests/slice.sh $(RELEASE) $(PACKAGE)

vm-tests: build harness $(if $(ALSO),packages) ## Run a first boot, a reboot and a kind cluster on virtual machines, in QEMU; a quarter to half an hour
	$(HARNESS) run first-boot reboot kind $(ALSO) --on qemu --program $(RELEASE) $(if $(ALSO),--package $(PACKAGE)) \
		--patience $(PATIENCE)

test-all: test-program arm64 harness ## Run all tests, with every version of Kubernetes, every case and the long random runs; hours
	tests/packages.sh $(RELEASE) all
	tests/examples.sh $(RELEASE)
	tests/shippers.sh $(RELEASE) rsyslog otel
	tests/real.sh $(RELEASE) $(PACKAGE) all
	$(MAKE) --no-print-directory fuzz
	$(HARNESS) run --all --on qemu --program $(RELEASE) --package $(PACKAGE) --patience $(PATIENCE)
	$(HARNESS) build-image target/image.qcow2
	$(HARNESS) run first-boot reboot --image target/image.qcow2 --program $(RELEASE) --patience $(PATIENCE)

harness:
	@tests/setup.sh cc go ip mkfs.ext4 mmdebstrap qemu-img setpriv unshare
	cargo build --locked -p vm-tests

matrix: build harness ## Make README.md's table of Kubernetes versions from what runs; VERSIONS=1.36,1.37 runs only those
	$(HARNESS) run kubeadm apiserver existing-cluster first-boot --program $(RELEASE) --matrix README.md \
		--versions $(or $(VERSIONS),$$($(HARNESS) versions | paste -sd ,))

# The part of `make test` with the program by itself. The fuzz targets are a workspace of their own, which no other step
# compiles.
test-program: check judge
	@tests/setup.sh strace file nm setpriv unshare c++
	CARGO_TARGET_DIR=target/fuzz cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings
	tests/as-user.sh
	cargo test --locked -- --ignored --skip differential
	image/build.sh $(TRIPLE)
	tests/static.sh $(RELEASE) $(DEBUG)
	tests/demo.sh $(RELEASE) quietly
	tests/sarif.sh $(RELEASE)
	tests/bench/bench.sh $(RELEASE) 3

judge: build ## Judge each case's files, and the program's edits of many kubeadm files, by Kubernetes' own YAML reader
	@tests/setup.sh cc go
	cd tests/judge && GOTOOLCHAIN=local go vet . && GOTOOLCHAIN=local go test .
	cd tests/judge && GOTOOLCHAIN=local go build -o ../../target/judge .
	target/judge cases tests/cases
	target/judge shapes --binary $(RELEASE) vm-tests/shapes

corpus: ## Run every file of a corpus through the program and judge the result: make corpus DIR=...
	@test -n "$(DIR)" || { echo 'usage: make corpus DIR=..., a directory that contains kubeadm, manifests, ...' >&2; exit 2; }
	@$(MAKE) --no-print-directory build judge
	target/judge corpus --binary $(RELEASE) $(DIR)

scanners: build ## Run checkov, Prowler and kube-bench's checks on a node with profile cis: make scanners DIR=..., kube-bench's cfg
	@test -n "$(DIR)" || { echo 'usage: make scanners DIR=..., a directory that contains cis-1.12, ...' >&2; exit 2; }
	tests/scanners.sh $(RELEASE) $(DIR)

mutants: ## Break the program in each small way, and expect a test to fail: SCOPE=src/yaml, or SINCE=COMMIT; hours without them
	@tests/setup.sh cc prlimit
	tests/mutants.sh $(if $(SINCE),--in-diff $(SINCE),$(SCOPE))

fuzz: ## Read random texts with every reader of other people's files: TIME=60 for each, TARGETS=manifest
	@tests/setup.sh cc c++
	tests/fuzz.sh $(or $(TIME),60) $(TARGETS)

bench: build ## Measure the program against a floor, as ratios: make bench [ROUNDS=100]
	@tests/setup.sh strace
	tests/bench/bench.sh $(RELEASE) $(ROUNDS)

$(RELEASE):
	@$(MAKE) --no-print-directory build

docs: ## Write the man pages and the shell completions to target/docs
	@tests/setup.sh cc
	rm -rf target/docs
	@# This build has its own folder: in the usual one it would replace the program that the tests run.
	cargo run --quiet --locked --features docs --target-dir $(BUILT)/for-docs -- write-docs target/docs

target/nfpm: image/tools/go.mod image/tools/go.sum
	@tests/setup.sh go
	@mkdir -p $(@D)
	CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly go build -C image/tools -trimpath -o $(CURDIR)/$@ \
		github.com/goreleaser/nfpm/v2/cmd/nfpm

packages: build docs target/nfpm ## Make the .deb, the .rpm and the tarball in target/packages; ARCH=arm64 makes those for arm64
	image/package.sh $(RELEASE) $(ARCH) target/docs target/nfpm

arm64: ## Build the program for arm64, and run it in an emulator
	@tests/setup.sh cc aarch64-linux-gnu-gcc file readelf qemu-aarch64-static
	image/build.sh aarch64-unknown-linux-gnu
	tests/arm64.sh $(BUILT)/aarch64-unknown-linux-gnu/release/kube-audit-bootstrap

oci: build ## Write the container image, an OCI archive, to target/packages
	image/oci.sh $(RELEASE) $(ARCH)

install: $(RELEASE) ## Install the program to DESTDIR/PREFIX/bin; PREFIX is /usr/local by default
	install -D -m 0755 $(RELEASE) $(DESTDIR)$(PREFIX)/bin/kube-audit-bootstrap

clean: ## Remove everything that was built
	cargo clean
