#!/usr/bin/env bash
# The tests on other kernels than this machine's, and on another processor: boots kernels of Debian under qemu, with nothing
# but a memory file system of the library, its examples and C tests. Needs `make`.
# usage: ci/kernels.sh [--tests PATTERN] [--repeat TIMES] [--seconds SECONDS] [--patience TIMES] [KERNEL...]
#   KERNEL     6.1 (the default), 5.10, 6.12, 6.16, 6.17, backports, unstable, arm64-6.1, arm64-6.12, arm64-6.12-16k,
#              or `others`: all these but 6.1; also user-5.10 and user-6.1: the kernel as a program of this machine, with one
#              processor and without IPv6, which takes a third of the time. It crashes on a processor with AMX
#   --tests    the ctest tests whose names match. The default is all; without a KERNEL, a part that takes some 4 minutes
#   --repeat   each test so often
#   --seconds  no test begins later than so long after the boot. What is left is "not run", which is no failure. The default
#              is 3000; without a KERNEL, 240
#   --patience the tests wait at least so many times longer than usual: for a machine that has other work, whose speed at
#              the boot says little about its speed later
# It writes below build/kernels/ alone. A kernel that is there is not fetched again.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/build/kernels
cpus=2
jobs=8

part='^(promise(01|02|06|08|09|11|14)|fault_(chaos.everything_at_random/|dead_loops|stopping)|transfer_watch)([^/]*/|)(first-try|rings-only)'
all_others=(5.10 6.12 6.16 6.17 backports unstable arm64-6.1 arm64-6.12 arm64-6.12-16k)
tests='' repeat=1 seconds='' patience=1 kernels=()
while [ $# -gt 0 ]; do
    case $1 in
        --tests) tests=$2; shift ;;
        --repeat) repeat=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --patience) patience=$2; shift ;;
        others) kernels+=("${all_others[@]}") ;;
        -*) sed -n '2,/^set/s/^# //p' "$0"; exit 2 ;;
        *) kernels+=("$1") ;;
    esac
    shift
done
if [ ${#kernels[@]} = 0 ]; then
    kernels=(6.1)
    tests=${tests:-$part} seconds=${seconds:-240}
fi
tests=${tests:-.} seconds=${seconds:-3000}

source_of() { # KERNEL: its architecture, Debian's suite, and a pattern of the package's name
    case $1 in
        5.10) echo amd64 bullseye '^linux-image-5\.10\.[^ ]*-cloud-amd64$' ;;
        6.1) echo amd64 bookworm '^linux-image-6\.1\.[^ ]*-cloud-amd64$' ;;
        6.12) echo amd64 trixie '^linux-image-6\.12\.[^ ]*-cloud-amd64$' ;;
        6.16 | 6.17) echo amd64 trixie-backports "^linux-image-${1/./\\.}\\.[^ ]*-cloud-amd64\$" ;;
        backports) echo amd64 trixie-backports '^linux-binary-[^ ]*-cloud-amd64$' ;;
        unstable) echo amd64 sid '^linux-binary-[^ ]*-cloud-amd64$' ;;
        user-5.10) echo user bullseye '^user-mode-linux$' ;;
        user-6.1) echo user bookworm '^user-mode-linux$' ;;
        arm64-6.1) echo arm64 bookworm '^linux-image-6\.1\.[^ ]*-cloud-arm64$' ;;
        arm64-6.12) echo arm64 trixie '^linux-image-6\.12\.[^ ]*-cloud-arm64$' ;;
        arm64-6.12-16k) echo arm64 trixie '^linux-image-6\.12\.[^ ]*-arm64-16k$' ;;
        *) echo "no kernel is known by the name $1" >&2; return 2 ;;
    esac
}
for kernel in "${kernels[@]}"; do source_of "$kernel" >/dev/null; done

# shellcheck source=ci/kernels/debian.sh
. ci/kernels/debian.sh

# --- what runs in the machine ---

prepare_amd64() {
    build=$PWD/build compiler=cc readelf=readelf qemu=qemu-system-x86_64 console=ttyS0
    qemu_options=(-accel tcg,thread=multi -cpu max)
    sh ci/need.sh qemu-system-x86_64 busybox || return 1
    busybox=$(command -v busybox)
}

prepare_user() {
    ! grep -qw amx_tile /proc/cpuinfo || { echo "user-mode Linux has no room for the registers of AMX"; return 1; }
    build=$PWD/build compiler=cc readelf=readelf
    sh ci/need.sh busybox || return 1
    busybox=$(command -v busybox)
}

build_user() { :; }

prepare_arm64() {
    build=$work/build-arm64 compiler=aarch64-linux-gnu-gcc readelf=aarch64-linux-gnu-readelf qemu=qemu-system-aarch64
    console=ttyAMA0 busybox=$work/busybox-arm64/bin/busybox
    qemu_options=(-machine virt -accel tcg,thread=multi -cpu cortex-a76)
    sh ci/need.sh qemu-system-aarch64 aarch64-linux-gnu-gcc || return 1
    rustup target add aarch64-unknown-linux-gnu >/dev/null 2>&1 ||
        { echo "no standard library of Rust for aarch64 can be had"; return 1; }
    [ -e "$busybox" ] || unpack arm64 bookworm '^busybox-static$' '*bin/busybox' "$work/busybox-arm64" || return 1
}

build_arm64() {
    local log=$work/build-arm64.log
    # Packages of this machine are for its own processor: no example may find them.
    PKG_CONFIG_LIBDIR=$work/none cmake -S . -B "$build" -Wno-dev -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux \
        -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_C_COMPILER="$compiler" \
        -DCMAKE_FIND_ROOT_PATH=/usr/aarch64-linux-gnu -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY \
        -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_PACKAGE=ONLY >"$log" 2>&1 &&
        cmake --build "$build" --parallel "$(nproc)" >>"$log" 2>&1 || { tail -n 20 "$log"; return 1; }
}

# Where the C library and the others that the programs need are, and the names by which the programs know them.
libraries() {
    local name
    {
        "$readelf" -d "$build"/c-tests/promise_* "$build"/c-tests/plugin_host "$build"/libiouringnet.so |
            sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
        "$readelf" -l "$build/c-tests/plugin_host" | sed -n 's|.*interpreter: .*/\(.*\)\]|\1|p'
    } | sort -u | while read -r name; do
        case $name in
            libiouringnet*) ;;
            *) echo "$("$compiler" -print-file-name="$name") $name" ;;
        esac
    done
}

make_initramfs() { # ARCHITECTURE: writes build/kernels/ARCHITECTURE.cpio and ARCHITECTURE.tests
    local tree=$work/tree-$1 file path name
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,etc,lib,proc,sys,tmp} "$tree$build"/{c-tests,examples-c} "$tree$PWD/examples-c"
    ln -s lib "$tree/lib64"
    cp "$busybox" "$tree/bin/busybox"
    cp ci/kernels/init.sh "$tree/init"
    cp ci/kernels/suite.sh "$tree/"
    chmod +x "$tree/init"
    echo 'root:x:0:0:root:/:/bin/sh' >"$tree/etc/passwd"
    echo '127.0.0.1 localhost' >"$tree/etc/hosts"
    echo 'hosts: files' >"$tree/etc/nsswitch.conf"
    cp examples-c/*.sh "$tree$PWD/examples-c/"
    cp -a "$build"/libiouringnet.so* "$tree$build/"
    find "$build/c-tests" "$build/examples-c" -maxdepth 1 -type f -perm -u+x | while read -r file; do
        cp "$file" "$tree$file"
    done
    libraries | while read -r path name; do cp -L "$path" "$tree/lib/$name"; done
    for ((round = 0; round < repeat; round++)); do
        python3 ci/kernels/tests.py "$build" "$tests"
    done >"$tree/tests"
    printf 'JOBS=%s SECONDS_MOST=%s PATIENCE_LEAST=%s\n' "$jobs" "$seconds" "$patience" >"$tree/settings"
    (cd "$tree" && find . | cpio -o -H newc --quiet) >"$work/$1.cpio"
    mv "$tree/tests" "$work/$1.tests"
    rm -rf "$tree"
}

prepare() { # ARCHITECTURE: what its machines need; says why it cannot be had
    for tool in apt-get dpkg-deb python3; do
        command -v "$tool" >/dev/null || { echo "$tool is missing"; return 1; }
    done
    sh ci/need.sh cpio || return 1
    "prepare_$1" || return 1
    [ "$prepared" = "$1" ] && return
    [ "$1" = amd64 ] || "build_$1" || exit 1
    make_initramfs "$1"
    prepared=$1
}
prepared= qemu='' console='' qemu_options=()

# --- the machine ---

machine=
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM

boot() { # KERNEL ARCHITECTURE: runs the tests; the console goes to build/kernels/KERNEL/console
    local command=("$qemu" "${qemu_options[@]}" -smp "$cpus" -m 3G -nodefaults -nographic -serial stdio -net none
        -no-reboot -kernel "$work/$1/vmlinuz" -initrd "$work/$2.cpio" -append
        "console=$console,115200 quiet loglevel=3 panic=-1 no_timer_check mitigations=off random.trust_cpu=on")
    [ "$2" != user ] || command=(env "TMPDIR=$work/$1" "HOME=$work/$1" "$work/$1/vmlinuz" mem=2G
        "initrd=$work/$2.cpio" con=null con0=null,fd:1 quiet panic=-1)
    timeout --kill-after=10 $((seconds + 500)) "${command[@]}" </dev/null >"$work/$1/console" 2>&1 &
    machine=$!
    wait "$machine" || true
    machine=
    tr -d '\r' <"$work/$1/console" | grep -a -o '@ .*' >"$work/$1/results" || true
}

count() { grep -c "^@ $1 " "$results" || true; }
names() { sed -n "s/^@ $1 \([^ ]*\) .*/\1/p" "$results" | tr '\n' ' '; }

report() { # KERNEL ARCHITECTURE: counts and names; fails if a test failed or the machine did not end by itself
    local results=$work/$1/results
    local failed=0
    failed=$(count failed)
    if ! grep -q '^@ end' "$results"; then
        echo "$1: the machine did not end by itself. These tests had not ended:"
        comm -23 <(sed -n 's/^@ begin //p' "$results" | sort) \
            <(sed -nE 's/^@ (passed|failed|skipped) ([^ ]*) .*/\2/p' "$results" | sort)
        tail -n 5 "$work/$1/console"
        failed=$((failed + 1))
    fi
    sed -n '/^@ failed/,/^@ [^|]/{/^@ \(failed\||\)/s/^@ /    /p}' "$results"
    sed -n 's/^@ kernel-log /    the kernel says: /p' "$results"
    [ "$(count skipped)" = 0 ] || echo "    skipped: $(names skipped)"
    [ "$(count not-run)" = 0 ] || echo "    not run, for want of time: $(count not-run)"
    echo "$1: $(sed -n 's/^@ kernel //p' "$results"), Debian's $(cat "$work/$1/version"):" \
        "$(count passed) passed, $failed failed, $(count skipped) skipped of $(wc -l <"$work/$2.tests")," \
        "$SECONDS s, patience $(sed -n 's/^@ patience //p' "$results")"
    passed_all=$((passed_all + $(count passed))) failed_all=$((failed_all + failed)) skipped_all=$((skipped_all + $(count skipped)))
}

passed_all=0 failed_all=0 skipped_all=0
mkdir -p "$work"
for kernel in "${kernels[@]}"; do
    read -r architecture suite package < <(source_of "$kernel")
    SECONDS=0
    from=$architecture file='*/vmlinuz*'
    [ "$architecture" != user ] || from=amd64 file='*/linux*'
    if ! prepare "$architecture" ||
        ! { [ -s "$work/$kernel/vmlinuz" ] || unpack "$from" "$suite" "$package" "$file" "$work/$kernel"; }; then
        echo "SKIPPED: $kernel cannot be booted here"
        continue
    fi
    [ -s "$work/$kernel/vmlinuz" ] || find "$work/$kernel" -name "${file#*/}" -type f -exec mv {} "$work/$kernel/vmlinuz" \;
    SECONDS=0
    boot "$kernel" "$architecture"
    report "$kernel" "$architecture"
done
echo "$passed_all passed, $failed_all failed, $skipped_all skipped"
[ "$failed_all" = 0 ]
