# make demo   answers a question with SmolLM2-135M-Instruct on this machine's GPU
# make test   everything that continuous integration checks
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test format lint deny unit doc setup help

MODEL  := models/smollm2
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

test: setup format lint deny doc unit
	@echo "all checks passed"

setup:
	scripts/setup.sh

# cargo fmt does not see the operator files, which a build script lists.
format:
	git ls-files '*.rs' | xargs rustfmt --check --edition 2024

lint:
	cargo clippy --workspace --all-targets --quiet -- -D warnings

deny:
	cargo deny --log-level error check bans licenses sources

unit:
	cargo nextest run --workspace --no-fail-fast

doc:
	cargo test --workspace --doc --quiet
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
