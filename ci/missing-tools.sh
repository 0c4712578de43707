#!/usr/bin/env bash
# What ci/need.sh and CMake say where tools are missing or too old, before anything is installed or downloaded. The tools are
# stand-ins in a directory that is the whole PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

# machine UID VERSION-OF-RUST: a new PATH with what ci/need.sh itself uses. "" stands for no Rust.
machine() {
    rm -rf "$work/bin"
    mkdir "$work/bin"
    for tool in sh cat dirname head ls mktemp rm sed sort; do ln -s "$(command -v "$tool")" "$work/bin/"; done
    stand_in id "echo $1"
    stand_in apt-get "echo apt-get \"\$@\" >>'$work/called'"
    if [ -n "$2" ]; then
        stand_in rustc "echo 'rustc $2 (stand-in)'"
        stand_in cargo "echo cargo \"\$@\" >>'$work/called'"
    fi
    : >"$work/called"
}

stand_in() { # NAME COMMAND
    printf '#!/bin/sh\n%s\n' "$2" >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

# need CODE TOOL...: runs ci/need.sh there. Its words are in $work/said.
need() {
    local expected=$1 code=0
    shift
    PATH=$work/bin sh ci/need.sh "$@" >"$work/said" 2>&1 || code=$?
    [ "$code" -eq "$expected" ] || fail "it ended with $code and not $expected"
}

fail() {
    echo "FAILED: $*; said:"
    cat "$work/said"
    exit 1
}
says() { grep -qF -- "$1" "$work/said" || fail "it does not say '$1'"; }
says_not() { if grep -qF -- "$1" "$work/said"; then fail "it says '$1'"; fi; }
calls_nothing() { [ ! -s "$work/called" ] || fail "it called $(cat "$work/called")"; }

machine 0 ""
need 1 cmake cc cargo
says "cmake 3.22 or later"
says "  cc"
says "Rust $wanted or later"
says "  apt-get install -y --no-install-recommends cmake gcc libc6-dev curl ca-certificates"
says "https://sh.rustup.rs"
says_not sudo
calls_nothing
echo "root without tools: all are named at once, and nothing is installed before Rust is there"

machine 1000 ""
stand_in curl true
need 1 cmake cargo
says "  su -c 'apt-get install -y --no-install-recommends cmake'"
stand_in sudo true
need 1 cmake cargo
says "  sudo apt-get install -y --no-install-recommends cmake"
calls_nothing
echo "a user without tools: the advice has sudo only where it exists"

machine 1000 ""
stand_in apt-cache "printf 'rustc:\\n  Candidate: 9.85.0+dfsg3-1\\n'"
need 1 cargo
says "apt-get install -y --no-install-recommends cargo ca-certificates"
says_not rustup
echo "a system whose Rust is new enough: the advice is its package, and the certificates for downloads"

machine 0 1.63.0
stand_in cmake "echo cmake version 3.25.1"
need 1 cmake cargo
says "Rust $wanted or later, found 1.63.0: $work/bin/rustc"
says_not cmake
calls_nothing
echo "an old Rust: need.sh names the version found and the version wanted"

rm "$work/bin/cmake"
if PATH=$work/bin:$PATH cmake -S . -B "$work/build" -DCARGO="$work/bin/cargo" >"$work/said" 2>&1; then
    fail "CMake takes Rust 1.63"
fi
says "Rust $wanted or later is needed."
says "Found 1.63.0: $work/bin/rustc"
calls_nothing
echo "an old Rust: so does CMake"

machine 0 "$wanted.0"
stand_in cmake "echo cmake version 3.18.4"
need 1 cmake cargo
says "cmake 3.22 or later, found 3.18.4"
stand_in cmake "echo cmake version 3.22.1"
need 0 cmake cargo
echo "an old CMake is named, and one that suffices is not"

machine 0 "$wanted.0"
stand_in apt-get "printf '#!/bin/sh\necho cmake version 3.25.1\n' >'$work/bin/cmake'; chmod +x '$work/bin/cmake'"
ln -s "$(command -v chmod)" "$work/bin/"
need 0 cmake cargo
echo "root with Rust: packages are installed"
