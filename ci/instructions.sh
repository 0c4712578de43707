#!/usr/bin/env bash
# Instructions in user space for one echoed message, counted by single steps, against those in bench/instructions.txt. They
# do not depend on how fast or how busy the machine is. Needs `make`.
#
#   ci/instructions.sh          the cases with 1 and 64 connections, in half a minute
#   ci/instructions.sh --all    those with 1,000 as well, in some minutes more
#   ci/instructions.sh --write  all cases, and makes theirs the new figures
#
# Fails if one has more than TOLERANCE per cent too many; where C compiler, C library or kernel are not those of the file,
# ELSEWHERE per cent. Another rustc makes other code: nothing is compared then, and that is said.
set -euo pipefail
cd "$(dirname "$0")/.."
TOLERANCE=2
ELSEWHERE=10
baseline=bench/instructions.txt
out=build/instructions
export IOURINGNET_SENDS=entries # else the machine decides how sends leave, and each way has figures of its own

case "${1:-}" in
    "" | --all | --write) mode=${1:-} ;;
    *) sed -n '2,9p' "$0"; exit 2 ;;
esac

skip() {
    echo "SKIPPED: $*"
    if [ "$mode" = --write ]; then exit 1; fi
    exit 0
}

[ "$(uname -m)" = x86_64 ] || skip "instructions are counted on x86-64 only"
[ -e build/libiouringnet.so ] || { echo "build/libiouringnet.so is missing: run make first" >&2; exit 1; }

# What the figures depend on besides the source.
tools() {
    echo "rustc: $(rustc --version)"
    echo "cc: $(cc --version | sed 1q)"
    echo "libc: $(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | sed 1q)"
    echo "kernel: $(uname -r | cut -d. -f1-2)"
}
here=$(tools)
there=$(grep -E '^(rustc|cc|libc|kernel): ' "$baseline" 2>/dev/null || true)
tolerance=$TOLERANCE
if [ "$mode" != --write ]; then
    [ -n "$there" ] || { echo "$baseline is missing: ci/instructions.sh --write makes it" >&2; exit 1; }
    [ "${here%%$'\n'*}" = "${there%%$'\n'*}" ] || skip "$baseline is of another rustc: ${there%%$'\n'*}, here ${here%%$'\n'*}"
    if [ "$here" != "$there" ]; then
        echo "differs from where $baseline was written, so that $ELSEWHERE % more are let pass:"
        diff <(echo "$there") <(echo "$here") | grep '^[<>]' || true
        tolerance=$ELSEWHERE
    fi
fi

mkdir -p "$out"
flags=(-std=c11 -O2 -Wall -Wextra -Werror)
cc "${flags[@]}" -o "$out/instructions" bench/instructions.c
cc "${flags[@]}" -Iinclude -o "$out/ours_callback" bench/ours_callback.c -Lbuild -liouringnet "-Wl,-rpath,$PWD/build"
floor=
if [ -e /usr/include/liburing.h ]; then
    cc "${flags[@]}" -o "$out/floor_io_uring" bench/floor_io_uring.c -luring
    floor=floor_io_uring
else
    echo "skipped: floor_io_uring: liburing-dev is missing"
fi

# CONNECTIONS ROUNDS SERVER [ARGUMENT]
cases() {
    local server
    for server in $floor ours_callback "ours_callback --no-first-try"; do
        echo "1 10 $server"
        echo "64 2 $server"
        if [ -n "$mode" ]; then echo "1000 1 $server"; fi
    done
}

figures=$out/figures
: >"$figures.new"
while read -r connections rounds server arguments; do
    # shellcheck disable=SC2086
    line=$("$out/instructions" --connections "$connections" --rounds "$rounds" "$out/$server" $arguments </dev/null) || {
        code=$?
        [ "$code" -ne 77 ] || skip "see above"
        exit "$code"
    }
    echo "$line"
    name=$server
    if [ "$arguments" = --no-first-try ]; then name=${server}_rings; fi # as in bench/run.py
    echo "$name/$connections: $(sed 's/.* instructions_per_msg=\([0-9.]*\).*/\1/' <<<"$line")" >>"$figures.new"
done < <(cases)
mv "$figures.new" "$figures"

if [ "$mode" = --write ]; then
    {
        echo "# Instructions in user space for one echoed message of 64 bytes, by server and number of connections."
        echo "# Written by ci/instructions.sh --write, which runs where it may trace; compared by ci/instructions.sh."
        echo "$here"
        cat "$figures"
    } >"$baseline.new"
    mv "$baseline.new" "$baseline"
    echo "written: $baseline"
    exit 0
fi

# Each figure beside its own of before, and the ratio to the floor's of the same run.
awk -v tolerance="$tolerance" -v baseline="$baseline" '
    BEGIN { FS = ": " }
    FNR == NR { if ($2 ~ /^[0-9.]+$/) before[$1] = $2; next }
    { now[$1] = $2; order[++n] = $1 }
    END {
        printf "%-32s %10s %10s %8s %9s\n", "", "before", "now", "change", "to floor"
        for (i = 1; i <= n; i++) {
            name = order[i]; split(name, part, "/"); ratio = now["floor_io_uring/" part[2]]
            change = before[name] ? (now[name] / before[name] - 1) * 100 : 0
            printf "%-32s %10s %10s %+7.1f%% %9s\n", name, before[name] ? before[name] : "-", now[name], change,
                ratio ? sprintf("%.2f", now[name] / ratio) : "-"
            if (change > tolerance) worse = worse "  " name
            if (change < -tolerance) better = better "  " name
            if (!before[name]) unknown = unknown "  " name
        }
        if (better) print "less than before:" better "; so that it stays so: ci/instructions.sh --write"
        if (unknown) print "not in " baseline ":" unknown "; ci/instructions.sh --write puts it there"
        if (worse) {
            print "FAILED: over " tolerance " % more than before:" worse
            print "where they are: bench/README.md, Instructions; if they are worth it: ci/instructions.sh --write"
            exit 1
        }
    }' "$baseline" "$figures"
