#!/usr/bin/env bash
# The library as a part of another project: by add_subdirectory, by FetchContent from a repository, and as a subproject of
# Meson. The programs run, and the project installs nothing of the library unless it asks for it. The core is unoptimised here.
# What `cargo test` has left in build/cargo/debug is used, and not needed.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; echo "FAILED: $*"; exit 1; }; }
says_hello() { [ "$("$@")" = hello ] || { echo "FAILED: $* does not say hello"; exit 1; }; }
spare_time() { # DIRECTORY: crates that are compiled already
    mkdir -p "$1/cargo"
    if [ -d build/cargo/debug ]; then cp -a build/cargo/debug "$1/cargo/"; fi
}
installs() { # PREFIX FILE...: nothing else is there
    local prefix=$1
    shift
    (cd "$prefix" && find . ! -type d | sort) >"$work/found"
    printf './%s\n' "$@" | diff - "$work/found" || { echo "FAILED: the project installs more than its own, or less"; exit 1; }
}

# What a commit would have: Git knows nothing of files that are not added.
git init -q "$work/repository"
git ls-files -z -co --exclude-standard | tar -c --null -T - | tar -x -C "$work/repository"
git -C "$work/repository" add -A
git -C "$work/repository" -c user.name=ci -c user.email=ci@localhost commit -q -m "The tree under test"

# cmake_project NAME HOW: a project with two programs
cmake_project() {
    mkdir "$work/$1"
    cp ci/install/hello.c "$work/$1/"
    cat >"$work/$1/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.22)
project(whole C)
$2
add_executable(shared hello.c)
target_link_libraries(shared PRIVATE iouringnet::iouringnet)
add_executable(static hello.c)
target_link_libraries(static PRIVATE iouringnet::static)
install(TARGETS static)
CMAKE
    spare_time "$work/$1/build/$3"
    quietly cmake -S "$work/$1" -B "$work/$1/build" -DCMAKE_BUILD_TYPE=Debug
    quietly cmake --build "$work/$1/build"
    says_hello "$work/$1/build/shared"
    says_hello "$work/$1/build/static"
    quietly cmake --install "$work/$1/build" --prefix "$work/$1/prefix"
    installs "$work/$1/prefix" bin/static
}

cmake_project directory "add_subdirectory(\"$PWD\" part)" part
cmake -S "$work/directory" -B "$work/directory/build" -DIOURINGNET_INSTALL=ON >/dev/null
cmake --install "$work/directory/build" --prefix "$work/directory/prefix" >/dev/null
[ -f "$work/directory/prefix/include/iouringnet.h" ] || { echo "IOURINGNET_INSTALL=ON installs no header"; exit 1; }
echo "add_subdirectory: shared and static run; the library is installed only on demand"

cmake_project fetched "include(FetchContent)
FetchContent_Declare(iouringnet GIT_REPOSITORY \"file://$work/repository\" GIT_TAG HEAD)
FetchContent_MakeAvailable(iouringnet)" _deps/iouringnet-build
echo "FetchContent: shared and static run; the library is not installed"

if ! sh ci/need.sh meson; then
    echo "SKIPPED: Meson is missing"
    exit 0
fi
mkdir -p "$work/meson/subprojects"
cp ci/install/hello.c "$work/meson/"
cat >"$work/meson/meson.build" <<'MESON'
project('whole', 'c')
executable('hello', 'hello.c', dependencies: dependency('iouringnet', version: '>=0.2'), install: true)
MESON
cat >"$work/meson/subprojects/iouringnet.wrap" <<WRAP
[wrap-git]
url = file://$work/repository
revision = HEAD
[provide]
dependency_names = iouringnet
WRAP
spare_time "$work/meson/build/subprojects/iouringnet/cmake"
for kind in shared static; do
    if [ $kind = shared ]; then again=; else again=--reconfigure; fi
    # shellcheck disable=SC2086
    quietly meson setup "$work/meson/build" "$work/meson" $again --prefix="$work/meson/prefix" -Diouringnet:default_library=$kind
    quietly meson compile -C "$work/meson/build"
    says_hello "$work/meson/build/hello"
    quietly meson install -C "$work/meson/build"
    installs "$work/meson/prefix" bin/hello
done
quietly meson configure "$work/meson/build" -Diouringnet:install=enabled
quietly meson install -C "$work/meson/build"
[ -f "$work/meson/prefix/include/iouringnet.h" ] || { echo "-Diouringnet:install=enabled installs no header"; exit 1; }
echo "Meson: shared and static run; the library is installed only on demand"
