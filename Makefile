# Short names for what CMake and cargo do. Everything lands under build/.
# rustup puts its directory first in the PATH, but only in shells that start later.
ifeq ($(findstring :$(HOME)/.cargo/bin:,:$(PATH):),)
PATH := $(HOME)/.cargo/bin:$(PATH)
endif
export PATH
MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
LIBDIR_OPTIONS = $(if $(LIBDIR),-DCMAKE_INSTALL_PREFIX=$(PREFIX) -DCMAKE_INSTALL_LIBDIR=$(patsubst $(PREFIX)/%,%,$(LIBDIR)))

.DEFAULT_GOAL := build
.PHONY: build configure library demo test bench bench-quick kernels manual install uninstall package debian clean help

build: configure ## the library (build/libiouringnet.so), the examples and the C tests
	cmake --build --preset release --parallel $(JOBS)

configure:
	@sh ci/need.sh cmake cc cargo
	@mkdir -p build
	@cmake --preset release -Wno-dev $(LIBDIR_OPTIONS) >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

library: configure ## what an install needs: the library alone, without examples and tests
	cmake --build --preset release --parallel $(JOBS) --target iouringnet_installed

demo: configure ## build, then show what the library does, in half a minute
	@echo "building; the first time takes a minute or two"
	@sh ci/progress.sh build/demo.log cmake --build --preset release --parallel $(JOBS) --target demo
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

kernels: build ## the C tests on other kernels and on arm64, under qemu: ci/kernels.sh
	@bash ci/kernels.sh others

manual: ## man pages into build/man, and the site into build/html: start at build/html/index.html
	@sh ci/need.sh clang pandoc python3
	@python3 docs/manual/build.py --out build

install: library ## into PREFIX (/usr/local) and LIBDIR (PREFIX/lib), below DESTDIR where that is set
	cmake --install build --prefix $(PREFIX)

uninstall: ## removes the files of the last install, below DESTDIR where that is set
	sed 's|^|$(DESTDIR)|' build/install_manifest.txt | xargs -d '\n' rm -f --

package: build ## an archive of what `make install` installs: build/iouringnet-*.tar.gz
	cd build && cpack

debian: ## Debian packages of the last commit: build/packages/*.deb
	@bash ci/packages.sh --once

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done
