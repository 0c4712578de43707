#!/usr/bin/env bash
# A fresh Debian of this machine's release, with compilers and nothing of ours: there an ordinary user's programs run with the
# Debian packages, and then with what `make install` installs. Neither leaves a file behind. Needs root, and a mirror of Debian.
# Needs `make`, and takes the packages of ci/packages.sh, or makes them.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
root=$work/root
finish() {
    if [ -d "$root/proc/self" ]; then umount "$root/proc"; fi
    rm -rf --one-file-system "$work"
}
trap finish EXIT
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 50 "$work/log"; echo "FAILED: $*"; exit 1; }; }
skip() { echo "SKIPPED: $*"; exit 0; }

[ "$(id -u)" = 0 ] || skip "a bare root, since this needs root"
# shellcheck disable=SC1091
. /etc/os-release
[ "${ID:-}" = debian ] && sh ci/need.sh mmdebstrap || skip "a bare root, since mmdebstrap or Debian is missing"
timeout --foreground 240 mmdebstrap --quiet --variant=apt --include=gcc,g++,libc6-dev,make,cmake,pkg-config,python3 \
    "$VERSION_CODENAME" "$root" >"$work/log" 2>&1 || { cat "$work/log"; skip "a bare root, since the mirror has not given it"; }
ls build/packages/*.deb >/dev/null 2>&1 || quietly bash ci/packages.sh --once

mount --bind /proc "$root/proc"
mkdir "$root/packages" "$root/hello"
cp build/packages/*.deb "$root/packages/"
cp ci/install/hello.* "$root/hello/"
version=$(sed -n 's/^version = "\([0-9]*\.[0-9]*\)\..*"$/\1/p' Cargo.toml)
cat >"$root/hello/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.22)
project(hello C)
find_package(iouringnet $version REQUIRED)
add_executable(shared hello.c)
target_link_libraries(shared PRIVATE iouringnet::iouringnet)
add_executable(static hello.c)
target_link_libraries(static PRIVATE iouringnet::static)
CMAKE
cat >"$root/hello/all.sh" <<'SH'
set -eu
out=$(mktemp -d)
run() { [ "$("$@")" = hello ] || { echo "FAILED: $*"; exit 1; }; }
cc hello.c $(pkg-config --cflags --libs iouringnet) -o $out/c && run $out/c
c++ -x c++ hello.c -x none $(pkg-config --cflags --libs iouringnet) -o $out/c++ && run $out/c++
cc -static hello.c $(pkg-config --cflags --static --libs iouringnet) -o $out/alone 2>/dev/null && run $out/alone
cmake -S . -B $out/build >/dev/null && cmake --build $out/build >/dev/null && run $out/build/shared && run $out/build/static
run python3 hello.py libiouringnet.so.*
code=0
iouringnet-probe >$out/probe || code=$?
[ $code -le 1 ] && [ -s $out/probe ] || { cat $out/probe; echo "FAILED: iouringnet-probe: $code"; exit 1; }
if command -v go >/dev/null; then HOME=$out run go run hello.go; fi
SH
sed -i "s/libiouringnet.so.\*/libiouringnet.so.$version/" "$root/hello/all.sh"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"; }
user() { inside setpriv --reuid 1000 --regid 1000 --clear-groups sh -c "cd /hello && TMPDIR=/tmp sh all.sh"; }
ours() { find "$root/usr" "$root/etc" -iname '*iouringnet*' ! -path '*/dpkg/*'; }

quietly inside sh -c 'dpkg -i /packages/*.deb'
quietly user
echo "Debian packages: C, C++, static, CMake, Python and the probe run for an ordinary user"
quietly inside sh -c 'dpkg --purge $(dpkg-query -f "\${Package}\n" -W "libiouringnet*")'
[ -z "$(ours)" ] || { ours; echo "FAILED: the packages leave files behind"; exit 1; }

local_files() { find "$root/usr/local" ! -type d | sort; }
local_files >"$work/before"
DESTDIR=$root quietly cmake --install build --prefix /usr/local
quietly inside ldconfig
quietly user
echo "make install: the same programs run"
quietly make uninstall DESTDIR="$root"
inside ldconfig
local_files | diff "$work/before" - || { echo "FAILED: make uninstall leaves files behind"; exit 1; }
echo "nothing is left behind"
