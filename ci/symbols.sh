#!/usr/bin/env bash
# The shared library exports the functions that the header declares, under both names, each with the version of its series, and
# nothing else; in the static library the same names are hidden, the short ones weak, and nothing else is global. The soname is
# the one promised; the library needs the glibc that README.md names; it names no path of the machine that built it.
# Needs `make`.
set -euo pipefail
cd "$(dirname "$0")/.."
library=build/libiouringnet.so
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The preprocessor drops the comments; its line markers tell the header's own lines from those that it includes. A name
# before a parenthesis is a function: a pointer type has its name inside one.
declared() { # [OPTION]
    cc -E "$@" include/iouringnet.h |
        awk '/^# /{ours = ($3 ~ /iouringnet\.h"$/)} ours && !/^#/' |
        grep -oE '\b[a-z][a-z0-9_]*[[:space:]]*\(' | tr -d '( \t' |
        grep -vE '^(__attribute__|iouringnet_status|void|size_t)$' | sort -u
}
declared >"$work/short"
declared -DIOURINGNET_PREFIXED >"$work/prefixed"
[ -s "$work/short" ] || { echo "no functions found in the header"; exit 1; }
[ "$(wc -l <"$work/short")" = "$(wc -l <"$work/prefixed")" ] || { echo "a function has no name of its own"; exit 1; }
! grep -v '^iouringnet_' "$work/prefixed" || { echo "IOURINGNET_PREFIXED leaves these names as they are"; exit 1; }
sort -u "$work/short" "$work/prefixed" >"$work/names"

# NAME BINDING VISIBILITY of each global symbol that a file defines; the symbol of a version itself is absolute.
global() { # OPTION FILE
    readelf -W "$1" "$2" | awk '$5 ~ /^(GLOBAL|WEAK|UNIQUE)$/ && $7 != "UND" && $7 != "ABS" {print $8, $5, $6}' | sort -u
}
same() { # WHAT
    if ! diff -u "$work/expected" "$work/found"; then
        echo "$1: header (-) and library (+) differ"
        exit 1
    fi
}
sed 's/$/@@IOURINGNET_0.2 GLOBAL DEFAULT/' "$work/names" | sort >"$work/expected"
global --dyn-syms "$library" >"$work/found"
same "the shared library"
{
    sed 's/$/ GLOBAL HIDDEN/' "$work/prefixed"
    comm -23 "$work/short" "$work/prefixed" | sed 's/$/ WEAK HIDDEN/'
} | sort >"$work/expected"
global --syms build/libiouringnet.a >"$work/found"
same "the static library"
for name in net_start net_dial sink_send stream_recv stream_peek iouringnet_net_start iouringnet_version; do
    grep -qx "$name" "$work/names" || { echo "$name is not exported"; exit 1; }
done
# The one that cargo makes alone, beside the tests.
if [ -e build/cargo/debug/libiouringnet.so ]; then
    nm -D --defined-only build/cargo/debug/libiouringnet.so | awk '{print $3}' | sort >"$work/found"
    cp "$work/short" "$work/expected"
    same "cargo's shared library"
fi
readelf -d "$library" | grep -q 'SONAME.*\[libiouringnet.so.0.2\]' || { echo "the soname is not libiouringnet.so.0.2"; exit 1; }
readelf -d "$library" | grep -q 'NODELETE' || { echo "not linked with -z nodelete: a detached thread may outlive dlclose"; exit 1; }

# The C library that a build here asks for is the one that README.md names.
needed=$(objdump -T "$library" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
named=$(sed -n 's/.*needs glibc \([0-9.]*\) or later.*/GLIBC_\1/p' README.md)
[ "$needed" = "$named" ] || { echo "the library needs $needed; README.md names $named"; exit 1; }
for built in "$library" build/libiouringnet.a; do
    for path in "$PWD" "${CARGO_HOME:-$HOME/.cargo}"; do
        ! grep -qaF -- "$path/" "$built" || { echo "$built names $path"; exit 1; }
    done
done
for section in .llvmbc .llvmcmd; do
    ! readelf -SW build/libiouringnet.a | grep -qF " $section " || { echo "the static library has bitcode of LLVM"; exit 1; }
done
echo "$(wc -l <"$work/short") functions, in the header and in the libraries alike"
