# Short names for what CMake and cargo do. Everything lands under build/.
PATH := $(PATH):$(HOME)/.cargo/bin
export PATH
MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local

.DEFAULT_GOAL := build
.PHONY: build configure demo test bench bench-quick install clean help

build: configure ## the library (build/libiouringnet.so), the examples and the C tests
	cmake --build --preset release --parallel $(JOBS)

configure:
	@sh ci/need.sh cmake cc cargo
	@mkdir -p build
	@cmake --preset release -Wno-dev >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

demo: configure ## build, then show what the library does, in half a minute
	@echo "building (the first time takes a minute)"
	@cmake --build --preset release --parallel $(JOBS) --target demo >build/demo.log 2>&1 || { cat build/demo.log; exit 1; }
	@./build/examples-c/demo

test: build ## every test: the Rust tests, then the C tests (one of them: make test ARGS="-R name")
	cargo test --locked --target-dir build/cargo
	ctest --preset release $(ARGS)

bench: build ## every measurement against floors and peers, about an hour: bench/README.md
	@bash bench/build.sh >build/bench.log 2>&1 || { cat build/bench.log; exit 1; }
	@grep 'skipped: ' build/bench.log || true
	python3 bench/run.py $(ARGS)

bench-quick: build ## the same in under two minutes
	@bash bench/build.sh >build/bench.log 2>&1 || { cat build/bench.log; exit 1; }
	@grep 'skipped: ' build/bench.log || true
	python3 bench/run.py --quick $(ARGS)

install: build ## into PREFIX (/usr/local), below DESTDIR where that is set
	cmake --install build --prefix $(PREFIX)

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done
