# make demo   answers a question with SmolLM2-135M-Instruct on this machine's GPU
# make test   everything that continuous integration checks
# make conformance   all of ONNX's own tests (FILTER=name for some); docs/operators-declined.md says which are declined
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo conformance test format lint targets deny unit cooperative validation doc setup help

MODEL  := models/smollm2
ONNX   := target/onnx-1.22.0
PROMPT ?= What is the capital of France?

help:
	@grep -E '^# make' Makefile | cut -c3-

# Mesa complains where this is not set, as in containers.
demo: export XDG_RUNTIME_DIR ?= /tmp
demo:
	scripts/setup.sh runtime
	cargo build --release --package cli
	scripts/fetch_smollm2.sh $(MODEL)
	target/release/halfbyte run $(MODEL)/smollm2-135m-instruct.halfbyte --prompt "$(PROMPT)"

conformance: export XDG_RUNTIME_DIR ?= /tmp
conformance:
	scripts/setup.sh runtime
	scripts/fetch_onnx_tests.sh $(ONNX)
	cargo run --package tests --example conformance -- $(ONNX) $(FILTER)

test: setup format lint targets deny doc unit cooperative validation
	@echo "all checks passed"

setup:
	scripts/setup.sh

# cargo fmt does not see the operator files, which a build script lists.
format:
	git ls-files '*.rs' | xargs rustfmt --check --edition 2024

lint:
	cargo clippy --workspace --all-targets --quiet -- -D warnings

targets:
	scripts/check_targets.sh aarch64-linux-android aarch64-apple-ios

deny:
	cargo deny --log-level error check bans licenses sources

unit:
	cargo nextest run --workspace --no-fail-fast

cooperative:
	scripts/test_cooperative.sh target/mesa

# What is asked of Vulkan past wgpu.
validation:
	scripts/test_validation.sh target/layers

doc:
	cargo test --workspace --doc --quiet
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
