#!/usr/bin/env bash
# A program may have functions of the names that the library's have, over the shared library, with the static one in it, and
# as the host of a plugin. A library of a user's that has the static one in it exports nothing of ours. Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
shared=(-Lbuild -liouringnet "-Wl,-rpath,$PWD/build")
static=(build/libiouringnet.a -pthread -lm -ldl)
flags=(-O1 -Wall -Wextra -Werror -Iinclude -Ici/names -DIOURINGNET_PREFIXED)

fail() { echo "$*"; exit 1; }

compilers=()
for compiler in gcc clang; do
    ! command -v "$compiler" >/dev/null || compilers+=("$compiler" "$compiler -flto")
done
for compiler in "${compilers[@]}"; do
    for kind in shared static; do
        declare -n library=$kind
        # A host may export its functions, as for plugins: the dynamic loader then finds these first.
        $compiler "${flags[@]}" -rdynamic ci/names/program.c ci/names/own.c "${library[@]}" -o "$work/$kind" 2>"$work/log" ||
            { cat "$work/log"; fail "$compiler, $kind: a program with functions of our names does not link"; }
        timeout 20 "$work/$kind" || fail "$compiler, $kind: a program with functions of our names fails ($?)"
    done
    # Those of short names, and nothing in the program has them.
    $compiler -O1 -Iinclude -Ici/names ci/names/program.c "${static[@]}" -o "$work/short"
    timeout 20 "$work/short" || fail "$compiler: a program with the static library fails ($?)"
done

cc "${flags[@]}" -c ci/names/program.c -o "$work/program.o"
nm -u "$work/program.o" | awk '{print $2}' | grep -vE '^(iouringnet_.*|_?_.*|memcmp|bcmp)$' >"$work/left" || true
[ ! -s "$work/left" ] || fail "IOURINGNET_PREFIXED leaves the names $(tr '\n' ' ' <"$work/left")"

cc "${flags[@]}" -fPIC -shared ci/names/plugin.c "${shared[@]}" -o "$work/plugin.so"
for copy in one other; do
    cc "${flags[@]}" -UIOURINGNET_PREFIXED -fPIC -shared ci/names/plugin.c "${static[@]}" -o "$work/$copy.so"
    exported=$(nm -D --defined-only "$work/$copy.so" | awk '{print $3}' | sort | tr '\n' ' ')
    [ "$exported" = "plugin_net plugin_session plugin_stop " ] || fail "a library of a user's exports $exported"
done
cc "${flags[@]}" -rdynamic ci/names/host.c ci/names/own.c -ldl -o "$work/host"
timeout 20 "$work/host" "$work/plugin.so" || fail "a plugin over the shared library fails ($?)"
timeout 20 "$work/host" "$work/one.so" "$work/other.so" || fail "two copies in one process fail ($?)"

cc "${flags[@]}" ci/names/lookup.c -ldl -o "$work/lookup"
"$work/lookup" "$PWD/build/libiouringnet.so" || fail "dlsym does not find both names of a function"

# Another static library of Rust's in the same program, which brings a standard library of its own.
cat >"$work/rust.rs" <<'RUST'
#[unsafe(no_mangle)]
pub extern "C" fn panics() -> i32 {
    std::panic::catch_unwind(|| panic!("on purpose")).is_err() as i32
}
RUST
cat >"$work/both.c" <<'C'
#include "session.h"
int panics(void);
int main(void) { return session() != 0 || panics() != 1; }
C
rustc --edition 2024 -O --crate-type staticlib "$work/rust.rs" -o "$work/librust.a"
cc "${flags[@]}" "$work/both.c" "${static[@]}" "$work/librust.a" -lm -ldl -o "$work/both" ||
    fail "a program with another static library of Rust's does not link"
timeout 20 "$work/both" 2>"$work/log" || { cat "$work/log"; fail "a program with another static library of Rust's fails"; }
echo "programs with functions of our names, plugins, and libraries with a copy of ours run"
