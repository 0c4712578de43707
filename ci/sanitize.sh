#!/usr/bin/env bash
# The C tests under the address and undefined-behaviour sanitizers: C code under both, Rust code under the address
# sanitizer where this Rust has it. It runs all tests over io_uring, and over epoll those that move much and end early.
# Arguments go to ctest instead: ci/sanitize.sh -R watch
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

flags=(-fsanitize=address,undefined)
echo 'int main(void) { return 0; }' >"$work/c.c"
if ! cc "${flags[@]}" "$work/c.c" -o "$work/c" 2>"$work/log" || ! "$work/c"; then
    cat "$work/log"
    echo "this C compiler has no sanitizers (Debian: libasan and libubsan come with gcc; Fedora: dnf install libasan libubsan)"
    exit 1
fi

# The instrumented Rust code uses the C compiler's run-time library, so a tiny program shows whether the two fit.
rust=ON
cat >"$work/r.rs" <<'RUST'
#[unsafe(no_mangle)]
pub unsafe extern "C" fn third(p: *const u8) -> u8 { unsafe { *p.add(3) } }
RUST
echo 'unsigned char third(const unsigned char *); int main(void) { unsigned char a[4] = {0}; return third(a); }' >"$work/m.c"
host=$(rustc -vV | sed -n 's/^host: //p')
if ! RUSTC_BOOTSTRAP=1 rustc --edition 2024 --crate-type staticlib --target "$host" -Zsanitizer=address \
        "$work/r.rs" -o "$work/r.a" 2>"$work/log" ||
   ! cc "${flags[@]}" "$work/m.c" "$work/r.a" -lpthread -ldl -lm -o "$work/m" 2>>"$work/log" || ! "$work/m" 2>>"$work/log"; then
    cat "$work/log"
    echo "SKIPPED: the Rust code under the address sanitizer; the C code is still checked"
    rust=OFF
fi

log=build/sanitize-configure.log
mkdir -p build
cmake --preset sanitize -DIOURINGNET_SANITIZE_RUST=$rust >"$log" 2>&1 || { cat "$log"; exit 1; }
cmake --build --preset sanitize --parallel "$(nproc)"
if [ $# -gt 0 ]; then
    exec ctest --preset sanitize "$@"
fi
ctest --preset sanitize -LE epoll
ctest --preset sanitize -L epoll -R '^(promise0[16]|promise11|fault_chaos|fault_dead_loops|transfer_watch)'
