# SPDX-License-Identifier: ISC
# A short front for meson; each target is what README.md and HACKING.md name.

PYTEST = /usr/bin/python3 -m pytest -q

.PHONY: all deps test-deps run test test-asan test-tsan fuzz bench bench-mailbox \
	bench-queue soak install \
	install-postfix-names \
	format format-check clean

all: build/postern

build/build.ninja:
	@tools/deps build
	meson setup build

build/postern: build/build.ninja FORCE
	@ninja -C build

FORCE:

deps:
	tools/deps build

test-deps:
	tools/deps test

run: build/postern
	tools/demo

test: test-deps build/postern
	tools/run-tests build

test-asan: test-deps
	test -d build-asan || meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false
	ninja -C build-asan
	tools/run-tests build-asan

test-tsan: test-deps
	test -d build-tsan || meson setup build-tsan -Db_sanitize=thread -Db_lundef=false -Dwerror=false -Db_pie=false
	ninja -C build-tsan
	tools/run-tests build-tsan

fuzz: test-deps
	tools/fuzz

bench-queue: test-deps build/postern
	tools/bench-queue

bench-mailbox: test-deps build/postern
	tools/bench-mailbox

bench: test-deps build/postern
	tools/bench
	tools/bench-authentication

soak: test-deps build/postern
	tests/system/soak.py

install: build/postern
	meson install -C build $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))

# The names that scripts know Postfix's programs by; `make install` first.
install-postfix-names:
	for dir_name in sbin/sendmail sbin/postqueue sbin/postsuper \
		sbin/postmap sbin/postalias sbin/postconf bin/mailq \
		bin/newaliases; do \
		mkdir -p "$(DESTDIR)/usr/$${dir_name%/*}" && \
		ln -sfn /usr/bin/postern "$(DESTDIR)/usr/$$dir_name" || exit 1; \
	done
	mkdir -p "$(DESTDIR)/usr/lib"
	ln -sfn ../sbin/sendmail "$(DESTDIR)/usr/lib/sendmail"

format:
	git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' | xargs clang-format-14 -i

format-check:
	git ls-files 'src/*.c' 'src/*.h' 'tests/*.c' 'tests/*.h' | xargs clang-format-14 --dry-run -Werror

clean:
	rm -rf build build-asan build-tsan build-fuzz
