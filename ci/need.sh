#!/bin/sh
# Sees to it that tools are there: ci/need.sh cmake cc cargo
# What the system's packages have is installed where this runs as root with a known package manager; otherwise the command
# to run is named, and the exit code is 1. Rust is never installed, only named: which toolchain is its user's choice.
# Known: cmake cc g++ clang clang-format cargo nc socat strace pkg-config liburing
set -eu

has() {
    case "$1" in
        nc) nc -h 2>&1 | grep -q -- '-N' ;; # the OpenBSD one; others cannot close their sending half
        liburing) [ -e /usr/include/liburing.h ] ;;
        *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

package() { # of tool $2 for manager $1
    case "$1:$2" in
        *:cmake|*:clang|*:socat|*:strace) echo "$2" ;;
        apt-get:clang-format) echo clang-format ;;
        dnf:clang-format) echo clang-tools-extra ;;
        apk:clang-format) echo clang-extra-tools ;;
        pacman:clang-format) echo clang ;;
        apt-get:cc) echo "gcc libc6-dev" ;;
        apk:cc) echo "gcc musl-dev" ;;
        *:cc) echo gcc ;;
        dnf:g++) echo gcc-c++ ;;
        pacman:g++) echo gcc ;;
        *:g++) echo g++ ;;
        apt-get:pkg-config) echo pkg-config ;;
        dnf:pkg-config) echo pkgconf-pkg-config ;;
        *:pkg-config) echo pkgconf ;;
        apt-get:liburing|apk:liburing) echo liburing-dev ;;
        dnf:liburing) echo liburing-devel ;;
        pacman:liburing) echo liburing ;;
        apt-get:nc|apk:nc) echo netcat-openbsd ;;
        dnf:nc) echo netcat ;;
        pacman:nc) echo openbsd-netcat ;;
        *) echo "ci/need.sh does not know $2" >&2; exit 2 ;;
    esac
}

manager=
for m in apt-get dnf apk pacman; do
    if command -v "$m" >/dev/null 2>&1; then manager=$m; break; fi
done
case "$manager" in
    apt-get) install="apt-get install -y --no-install-recommends" ;;
    dnf) install="dnf install -y" ;;
    apk) install="apk add" ;;
    pacman) install="pacman -Sy --noconfirm" ;;
esac

missing=
packages=
rust=
for tool in "$@"; do
    if has "$tool"; then continue; fi
    missing="$missing $tool"
    if [ "$tool" = cargo ]; then
        rust=yes
    elif [ -n "$manager" ]; then
        packages="$packages $(package "$manager" "$tool")"
    fi
done
[ -n "$missing" ] || exit 0

if [ -n "$packages" ] && [ "$(id -u)" = 0 ]; then
    echo "installing$packages"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    # A fresh image has no lists of packages yet.
    # shellcheck disable=SC2086
    $install $packages >"$log" 2>&1 </dev/null ||
        { [ "$manager" = apt-get ] && apt-get update >>"$log" 2>&1 && $install $packages >>"$log" 2>&1 </dev/null; } ||
        cat "$log" >&2
    rm -f "$log"
    missing=
    for tool in "$@"; do has "$tool" || missing="$missing $tool"; done
    [ -n "$missing" ] || exit 0
fi

echo "missing:$missing" >&2
if [ -n "$packages" ] && [ "$missing" != " cargo" ]; then
    if [ "$(id -u)" = 0 ]; then echo "could not be installed with:" >&2; else echo "install with:" >&2; fi
    echo "  $([ "$(id -u)" = 0 ] || echo "sudo ")$install$packages" >&2
elif [ "$missing" != " cargo" ]; then
    echo "install it with your system's package manager" >&2
fi
if [ -n "$rust" ]; then
    echo "install Rust with:" >&2
    echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
fi
exit 1
