#!/usr/bin/env bash
# The library as its users get it: installed below a prefix that is then moved, found by pkg-config and by find_package,
# linked shared and static, called from C, C++, Python and Go, run. Other library directories; the archive of CPack.
# Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
hello=$PWD/ci/install/hello
version=$(sed -n 's/^version = "\([0-9]*\.[0-9]*\)\..*"$/\1/p' Cargo.toml)

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAILED: $*"; exit 1; }; }
says_hello() { [ "$("$@")" = hello ] || { echo "FAILED: $* does not say hello"; exit 1; }; }

# by_pkg_config OUTPUT LIBDIR COMPILER...: links hello.c with what pkg-config says
by_pkg_config() {
    local output=$1 libdir=$2
    shift 2
    # shellcheck disable=SC2046
    quietly "$@" "$hello.c" -x none $(PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --cflags --libs iouringnet) \
        -Wl,-rpath,"$libdir" -o "$output"
    says_hello "$output"
}

mkdir "$work/user"
cp "$hello.c" "$work/user/"
cat >"$work/user/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(iouringnet $version REQUIRED)
add_executable(shared hello.c)
target_link_libraries(shared PRIVATE iouringnet::iouringnet)
add_executable(static hello.c)
target_link_libraries(static PRIVATE iouringnet::static)
CMAKE
# by_find_package OPTION: where the package is
by_find_package() {
    rm -rf "$work/user/build"
    quietly cmake -S "$work/user" -B "$work/user/build" "$1"
    quietly cmake --build "$work/user/build"
    says_hello "$work/user/build/shared"
    says_hello "$work/user/build/static"
}

cmake --install build --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"
libdir=$(dirname "$(find "$work/prefix" -name libiouringnet.a)")

case $(stat -c %a "$(readlink -f "$libdir/libiouringnet.so")")$(ls /etc/debian_version 2>/dev/null) in
    644/etc/debian_version | 755) ;;
    *) echo "the mode of the shared library is not the one of this system's"; exit 1 ;;
esac
for file in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE LICENSE-THIRD-PARTY docs/CONTRACT.md examples-c/serve.h SECURITY.md docs/guide/README.md docs/guide/programs/limits.c; do
    [ -s "$work/prefix/share/doc/iouringnet/$file" ] || { echo "$file is not installed"; exit 1; }
done
quietly cc -I"$work/prefix/include" "$work/prefix/share/doc/iouringnet/examples-c/frames.c" -L"$libdir" -liouringnet \
    -Wl,-rpath,"$libdir" -o "$work/frames"
quietly "$work/frames"
echo "installed: the documents and the examples' sources, and one of them runs"

result=0
"$work/prefix/bin/iouringnet-probe" >"$work/log" || result=$?
[ "$result" -le 1 ] || { cat "$work/log"; echo "iouringnet-probe: no net starts"; exit 1; }
echo "iouringnet-probe: runs from where it was moved"

by_find_package "-DCMAKE_PREFIX_PATH=$work/prefix"
if ldd "$work/user/build/static" | grep iouringnet; then echo "the static program needs the shared library"; exit 1; fi
echo "find_package: shared and static run"

says_hello python3 "$hello.py" "$libdir/libiouringnet.so"
echo "ctypes: runs"

if command -v pkg-config >/dev/null; then
    by_pkg_config "$work/c" "$libdir" cc -Wall -Wextra -Werror
    by_pkg_config "$work/c++" "$libdir" c++ -Wall -Wextra -Werror -x c++
    echo "pkg-config: C and C++ run"
    # A program that is static throughout; names are looked up by libraries of the system, and the linker says so.
    # shellcheck disable=SC2046
    quietly cc -static "$hello.c" $(PKG_CONFIG_PATH=$libdir/pkgconfig pkg-config --cflags --static --libs iouringnet) \
        -o "$work/static"
    says_hello "$work/static"
    if readelf -d "$work/static" | grep NEEDED; then echo "the static program needs shared libraries"; exit 1; fi
    echo "pkg-config --static: runs by itself"
    if command -v go >/dev/null; then
        PKG_CONFIG_PATH=$libdir/pkgconfig LD_LIBRARY_PATH=$libdir says_hello go run "$hello.go"
        echo "cgo: runs"
    else
        echo "SKIPPED: cgo, since Go is not installed"
    fi
else
    echo "SKIPPED: pkg-config and cgo, since pkg-config is not installed"
fi

# Another library directory, below the prefix or not, as packagers have it. The library is not built again.
for directory in lib/triplet "$work/elsewhere/lib64"; do
    rm -rf "$work/build" "$work/prefix"
    quietly cmake -S . -B "$work/build" -DCMAKE_INSTALL_PREFIX="$work/prefix" -DCMAKE_INSTALL_LIBDIR="$directory" \
        -DIOURINGNET_TESTS=OFF -DIOURINGNET_EXAMPLES=OFF -DIOURINGNET_TOOLS=OFF
    cp -d build/libiouringnet.* "$work/build"
    quietly cmake --install "$work/build"
    case $directory in /*) libdir=$directory ;; *) libdir=$work/prefix/$directory ;; esac
    if command -v pkg-config >/dev/null; then by_pkg_config "$work/c" "$libdir" cc; fi
    by_find_package "-Diouringnet_DIR=$libdir/cmake/iouringnet"
done
make --dry-run install PREFIX=/usr LIBDIR=/usr/lib/triplet >"$work/log"
grep -q -- "-DCMAKE_INSTALL_LIBDIR=lib/triplet" "$work/log" || { echo "make install drops LIBDIR"; exit 1; }
echo "other library directories: programs run"

# What was installed below DESTDIR can be taken away again.
mkdir -p "$work/undo/build"
for part in runtime devel tools doc; do
    DESTDIR=$work/undo/root quietly cmake --install build --prefix /usr --component $part
    sed '$a\' build/install_manifest_$part.txt >>"$work/undo/build/install_manifest.txt"
done
(cd "$work/undo" && quietly make -f "$OLDPWD/Makefile" uninstall DESTDIR="$work/undo/root")
left=$(find "$work/undo/root" ! -type d)
[ -z "$left" ] || { echo "make uninstall leaves: $left"; exit 1; }
echo "uninstall: nothing is left, and the four components are all"

mkdir "$work/archive"
quietly cmake -E chdir build cpack -B "$work/packed"
tar -x -f "$work/packed/"*.tar.gz -C "$work/archive" --strip-components=1
libdir=$(dirname "$(find "$work/archive" -name libiouringnet.a)")
by_find_package "-Diouringnet_DIR=$libdir/cmake/iouringnet"
echo "CPack: the archive holds what an install has"
