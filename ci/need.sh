#!/bin/sh
# Checks that tools are there: ci/need.sh cmake cc cargo
# First it names everything that is missing or too old, at once. If only packages of the system are missing, and this runs as
# root with a known package manager, it installs them. Otherwise it prints the commands and exits with 1. It never installs
# Rust: the user chooses the toolchain. Known: cmake cc g++ clang clang-format cargo curl nc openssl socat strace pkg-config
# libssl liburing meson musl-gcc pandoc man mandoc python3, and with apt-get qemu-system-x86_64 qemu-system-aarch64 busybox cpio aarch64-linux-gnu-gcc
# dpkg-buildpackage dh lintian fakeroot abidiff mmdebstrap
set -eu

cmake_wanted=3.22
rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$(dirname "$0")/../Cargo.toml")

has() { command -v "$1" >/dev/null 2>&1; }

# version OUTPUT: the first number with a dot
version() { printf '%s\n' "$1" | sed -n 's/^[^0-9]*\([0-9][0-9]*\.[0-9.]*[0-9]\).*/\1/p' | head -n 1; }

# at_least VERSION WANTED
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }

# Prints what is wrong with a tool, or nothing.
fault() {
    case "$1" in
        cargo) rust_fault ;;
        cmake)
            found=$(version "$(cmake --version 2>/dev/null || true)")
            if [ -z "$found" ]; then echo "cmake $cmake_wanted or later"
            elif ! at_least "$found" "$cmake_wanted"; then
                echo "cmake $cmake_wanted or later, found $found: $(command -v cmake)"
            fi ;;
        nc) nc -h 2>&1 | grep -q -- '-N' || echo "nc with -N (OpenBSD's)" ;; # others cannot close their sending half
        libssl) [ -e /usr/include/openssl/ssl.h ] || echo "OpenSSL's header" ;;
        man) man --version 2>/dev/null | grep -q '^man [0-9]' || echo "man-db" ;; # minimal images have a stand-in
        aarch64-linux-gnu-gcc) # the compiler alone links nothing
            "$1" -print-file-name=crt1.o 2>/dev/null | grep -q / || echo "$1 with its C library" ;;
        liburing) [ -e /usr/include/liburing.h ] || echo liburing ;;
        *) has "$1" || echo "$1" ;;
    esac
}

rust_fault() {
    if ! has cargo || ! has rustc; then
        echo "Rust $rust_wanted or later (cargo and rustc)"
        return
    fi
    found=$(version "$(rustc --version 2>/dev/null || true)")
    if [ -z "$found" ]; then
        echo "Rust $rust_wanted or later: $(command -v rustc) does not run"
    elif ! at_least "$found" "$rust_wanted"; then
        echo "Rust $rust_wanted or later, found $found: $(command -v rustc)"
    fi
}

package() { # of tool $2 for manager $1
    case "$1:$2" in
        *:cmake|*:clang|*:curl|*:mandoc|*:meson|*:openssl|*:socat|*:strace) echo "$2" ;;
        apk:pandoc|pacman:pandoc) echo pandoc-cli ;;
        *:pandoc) echo pandoc ;;
        *:man) echo man-db ;;
        pacman:python3) echo python ;;
        *:python3) echo python3 ;;
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
        apt-get:libssl) echo libssl-dev ;;
        dnf:libssl) echo openssl-devel ;;
        apk:libssl) echo openssl-dev ;;
        pacman:libssl) echo openssl ;;
        apt-get:liburing|apk:liburing) echo liburing-dev ;;
        dnf:liburing) echo liburing-devel ;;
        pacman:liburing) echo liburing ;;
        apt-get:nc|apk:nc) echo netcat-openbsd ;;
        dnf:nc) echo netcat ;;
        apt-get:musl-gcc) echo musl-tools ;;
        dnf:musl-gcc) echo musl-gcc ;;
        *:musl-gcc) echo musl ;;
        pacman:nc) echo openbsd-netcat ;;
        apt-get:qemu-system-x86_64) echo qemu-system-x86 ;;
        apt-get:qemu-system-aarch64) echo qemu-system-arm ;;
        apt-get:busybox) echo busybox-static ;;
        apt-get:cpio) echo cpio ;;
        apt-get:aarch64-linux-gnu-gcc) echo "gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;;
        apt-get:dpkg-buildpackage) echo "dpkg-dev" ;;
        apt-get:dh) echo debhelper ;;
        apt-get:abidiff) echo abigail-tools ;;
        apt-get:lintian|apt-get:fakeroot|apt-get:mmdebstrap) echo "$2" ;;
        *) echo "ci/need.sh does not know $2" >&2; exit 2 ;;
    esac
}

manager=
for m in apt-get dnf apk pacman; do
    if has "$m"; then manager=$m; break; fi
done
case "$manager" in
    apt-get) install="apt-get install -y --no-install-recommends" ;;
    dnf) install="dnf install -y" ;;
    apk) install="apk add" ;;
    pacman) install="pacman -Sy --noconfirm" ;;
esac

# Sets `faults`, one on each line, `packages` to what mends them, and `rust` to Rust's own fault.
look() {
    packages= rust= faults=
    for tool in "$@"; do
        why=$(fault "$tool")
        [ -n "$why" ] || continue
        faults="$faults  $why
"
        if [ "$tool" = cargo ]; then rust=$why
        else packages="$packages $(if [ -n "$manager" ]; then package "$manager" "$tool"; else echo "$tool"; fi)"
        fi
    done
}

is_root() { [ "$(id -u)" = 0 ]; }

# Prints a command that needs root.
as_root() {
    if is_root; then echo "  $1"
    elif has sudo; then echo "  sudo $1"
    else echo "  su -c '$1'"
    fi
}

advise_packages() {
    if [ -z "$manager" ]; then
        echo "  with the system's package manager:$1"
        return
    fi
    # A fresh image has no lists of packages yet.
    if [ "$manager" = apt-get ] && ! ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1; then as_root "apt-get update"; fi
    as_root "$install$1"
}

# The version of Rust among the system's packages, where no download is needed to ask.
packaged_rust() {
    if [ "$manager" = apt-get ]; then version "$(apt-cache policy rustc 2>/dev/null | sed -n 's/^ *Candidate: //p')"; fi
}

rustup_directory() { dirname "$(command -v rustup)"; }

# Sets `rust_advice` to the command that installs Rust. Adds to `packages` what has to be there before.
advise_rust() {
    packaged=$(packaged_rust)
    rust_advice=
    if has rustup && [ "$(command -v rustc)" != "$(rustup_directory)/rustc" ]; then
        rust_advice="export PATH=\"$(rustup_directory):\$PATH\""
    elif has rustup; then
        rust_advice="rustup default stable && rustup update stable"
    elif [ -n "$packaged" ] && at_least "$packaged" "$rust_wanted"; then
        packages="$packages cargo ca-certificates"
    else
        has curl || packages="$packages curl ca-certificates"
        rust_advice="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    fi
}

look "$@"
[ -n "$faults" ] || exit 0

if [ -z "$rust" ] && [ -n "$manager" ] && is_root; then
    echo "installing$packages"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    $install $packages >"$log" 2>&1 </dev/null ||
        { [ "$manager" = apt-get ] && apt-get update >>"$log" 2>&1 && $install $packages >>"$log" 2>&1 </dev/null; } ||
        cat "$log" >&2
    rm -f "$log"
    look "$@"
    [ -n "$faults" ] || exit 0
fi

if [ -n "$rust" ]; then advise_rust; fi
{
    printf 'missing:\n%sinstall:\n' "$faults"
    if [ -n "$packages" ]; then advise_packages "$packages"; fi
    if [ -n "$rust" ] && [ -n "$rust_advice" ]; then echo "  $rust_advice"; fi
} >&2
exit 1
