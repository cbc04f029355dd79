# SPDX-License-Identifier: GPL-2.0-or-later
#
# A thin front for meson; `make help` lists what there is. The build is in build/.

PREFIX ?= /usr/local
BUILD := build

all: build

build: deps
	@[ -e $(BUILD)/build.ninja ] || meson setup --prefix=$(PREFIX) $(BUILD)
	ninja -C $(BUILD)

# Debian packages and libfuse's source, where they are missing.
deps:
	@utils/setup run build
	@utils/fetch-libfuse

demo: build
	@utils/setup run build demo
	@utils/demo

check:
	@test/check

# ARGS: what both know, as --quick and --rounds N. Leaves all samples and a page of each in bench/results.
bench: build
	@utils/setup run build demo
	@for one in data metadata; do \
		echo "bench/$$one"; \
		bench/$$one --json bench/results/$$one.json --report bench/results/$$one.html $(ARGS) || exit; \
		echo; \
	done
	@echo 'pages with plots: bench/results/data.html and metadata.html'

install: build
	meson install -C $(BUILD) --skip-subprojects --no-rebuild

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf $(BUILD) build-check

help:
	@echo 'make            build/sshfs, with all that is needed for it'
	@echo 'make demo       mounts from a throw-away sshd and shows what works here'
	@echo 'make check      everything that is tested, with two compilers and the sanitizers'
	@echo 'make bench      measures it beside its peers: contents of files, then names and attributes'
	@echo 'make install    to PREFIX ($(PREFIX)); DESTDIR is honoured'
	@echo 'make deps       only what the build needs'
	@echo 'make format     clang-format on all C files'
	@echo 'make clean      removes the builds, keeps what was fetched'

.PHONY: all build deps demo check bench install format clean help
