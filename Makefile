# One command for each thing a person does here. `make` alone lists them.
#
# The commands that touch the AWS SDK always build the whole workspace with the same features: so the SDK is
# compiled once for the demo and the tests together. CARGO_TARGET_DIR is honoured.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo demo-disk demo-boot test check check-core broken deny bench build instance instance-test deploy destroy verify-aws

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)

# What a first build says, so that nobody takes it for stuck.
define first_build
@if ! ls -d "$(TARGET)"/debug/deps/libaws_sdk_ec2-*.rlib >/dev/null 2>&1; then \
		echo 'Building. The first build takes some minutes (about 5 on two cores) and a few GB of memory: the functions'; \
		echo 'talk to AWS through its official SDK, and the EC2 part alone (aws-sdk-ec2) is over a million lines of'; \
		echo 'generated code, some 760 operations in one crate, compiled in one piece: the counter below stands still'; \
		echo 'at it for a while. Later builds take seconds.'; \
	fi
endef

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: ## Watch a group of three lose an instance and get it back with the same volume
	$(first_build)
	$(CARGO) build --workspace --bins --locked
	"$(TARGET)/debug/demo"

demo-disk: ## The same over real disks: data is written, power fails, and the replacement reads it (Linux, root, loop devices)
	$(first_build)
	$(CARGO) build --workspace --bins --locked
	"$(TARGET)/debug/demo-disk"

demo-boot: ## The same on instances that boot, under qemu, with the units in them (Debian or Ubuntu, root; makes a Debian system once)
	@. tests/instance/system.sh; can_make_a_system 'sudo -E make demo-boot'
	$(first_build)
	$(CARGO) build --workspace --bins --locked
	@. tests/instance/system.sh; make_system; build_for_the_system; make_image
	"$(TARGET)/debug/demo-disk" --boot "$(TARGET)/instance"

test: ## Run every test, on loopback only, no AWS account needed
	$(CARGO) build --workspace --bins --locked
	$(CARGO) test --workspace --locked

check: ## Format, lints (warnings are errors) and, where cargo-deny is installed, licences and sources
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked --keep-going -- -D warnings
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(MAKE) --no-print-directory deny; \
	else echo 'cargo-deny is not installed, so licences and sources are not checked: cargo install cargo-deny --locked'; fi

deny: ## Check licences, duplicates and sources of all dependencies (needs cargo-deny)
	$(CARGO) deny --workspace --all-features --locked check --hide-inclusion-graph licenses bans sources

check-core: ## Test the domain, the local cloud and the scenarios: no AWS SDK, seconds after the first build
	$(CARGO) test --locked --package volume-pool --package local-cloud --package scenarios

broken: ## Break the protocol in every known way, one at a time, and see the simulation or the model notice (an hour)
	tests/broken/run

instance: ## Build the instance's side (static, x86_64 and arm64): see infra/instance
	rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
	@# Rust's own linker and C library: no cross compiler is needed.
	CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld \
		$(CARGO) build --release --locked --package stateful-asg-instance \
		--target x86_64-unknown-linux-musl --target aarch64-unknown-linux-musl
	@# What an image or user data unpacks.
	rm -rf "$(TARGET)/instance.tar.d" && mkdir -p "$(TARGET)/instance.tar.d"
	cp -r infra/instance "$(TARGET)/instance.tar.d/"
	for arch in x86_64 aarch64; do \
		cp "$(TARGET)/$$arch-unknown-linux-musl/release/stateful-asg-instance" "$(TARGET)/instance.tar.d/instance/stateful-asg-instance.$$arch"; \
	done
	tar -C "$(TARGET)/instance.tar.d" --exclude src --exclude Cargo.toml -cf "$(TARGET)/instance.tar" instance
	@ls -l "$(TARGET)/instance.tar"

instance-test: ## Test the instance's side over real disks and in a booted system (needs root, and Debian or Ubuntu)
	@tests/instance/run.sh

bench: ## Measure it: cold start, calls, crowds, pool sizes, cost (builds the release profile)
	$(CARGO) build --release --workspace --bins --locked
	@[[ -x "$(TARGET)/boto3/bin/pip" ]] || python3 -m venv "$(TARGET)/boto3"
	@"$(TARGET)/boto3/bin/pip" install --quiet --requirement tests/boto3/requirements.txt
	"$(TARGET)/release/bench" --functions "$(TARGET)/release" --zips "$(TARGET)/lambda" --python "$(TARGET)/boto3/bin/python"

build: ## Build the functions for Lambda (arm64, release)
	@$(CARGO) lambda --version >/dev/null 2>&1 || { \
		echo 'cargo-lambda is not installed. It cross-compiles for Lambda and zips the result; install it with'; \
		echo '  pip install cargo-lambda      (brings the zig compiler along; or see https://www.cargo-lambda.info)'; \
		exit 1; }
	$(CARGO) lambda build --release --arm64 --locked --output-format zip --bin lifecycle --bin reconcile
	@ls -l "$(TARGET)"/lambda/{lifecycle,reconcile}/bootstrap.zip

deploy: build ## Deploy to the AWS account that your credentials are of, or update it (settings: infra/settings.sh)
	@infra/deploy.sh

destroy: ## Take the deployment away; never a volume, and the table only with DELETE_TABLE=yes
	@infra/destroy.sh

verify-aws: ## Ask your AWS account what local-cloud claims of AWS: says what it costs and asks, removes all of it (ARGS=--help)
	$(CARGO) build --workspace --bins --locked
	"$(TARGET)/debug/verify-aws" $(ARGS)
