#!/usr/bin/env bash
# The library as its users get it: installed below a prefix that is then moved, found by pkg-config and by find_package,
# linked shared and static, run. Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install build --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"
libdir=$(dirname "$(find "$work/prefix" -name libiouringnet.a)")

mkdir "$work/user"
cat >"$work/user/main.c" <<'C'
#include <iouringnet.h>
#include <stdio.h>
int main(void) {
  if (iouringnet_version() != IOURINGNET_VERSION) return 1;
  iouringnet_net *net;
  iouringnet_status status = net_start(NULL, &net);
  if (status == 0) status = net_stop(net);
  printf("%s\n", iouringnet_strerror(status));
  return status != 0;
}
C
cat >"$work/user/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(iouringnet 0.1 REQUIRED)
add_executable(shared main.c)
target_link_libraries(shared PRIVATE iouringnet::iouringnet)
add_executable(static main.c)
target_link_libraries(static PRIVATE iouringnet::static)
CMAKE
cmake -S "$work/user" -B "$work/user/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1 &&
    cmake --build "$work/user/build" >>"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
"$work/user/build/shared" && "$work/user/build/static" && echo "find_package: shared and static run"
if ldd "$work/user/build/static" | grep iouringnet; then echo "the static program needs the shared library"; exit 1; fi

if command -v pkg-config >/dev/null; then
    export PKG_CONFIG_PATH=$libdir/pkgconfig
    # shellcheck disable=SC2046
    cc "$work/user/main.c" $(pkg-config --cflags --libs iouringnet) -Wl,-rpath,"$libdir" -o "$work/pc" && "$work/pc"
    echo "pkg-config: $(pkg-config --modversion iouringnet) runs"
    # A program that is static throughout; names are looked up by libraries of the system, and the linker says so.
    # shellcheck disable=SC2046
    cc -static "$work/user/main.c" $(pkg-config --cflags --static --libs iouringnet) -o "$work/static" 2>"$work/log" ||
        { cat "$work/log"; exit 1; }
    "$work/static"
    if readelf -d "$work/static" | grep NEEDED; then echo "the static program needs shared libraries"; exit 1; fi
    echo "pkg-config --static: runs by itself"
else
    echo "SKIPPED: pkg-config is not installed"
fi
