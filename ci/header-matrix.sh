#!/bin/sh
# Compiles include/iouringnet.h alone and twice, and the programs in its essay, as every supported standard, with gcc and
# clang, with short and with prefixed names, warnings as errors.
# usage: ci/header-matrix.sh
set -eu
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Once alone; once twice, with every status in a switch and every macro used, which finds what only use shows.
echo '#include "iouringnet.h"' > "$dir/alone.c"
{
    echo '#include "iouringnet.h"'
    echo '#include "iouringnet.h"'
    echo 'int known(iouringnet_status status);'
    echo 'int known(iouringnet_status status) { switch (status) {'
    sed -n 's/^#define \(IOURINGNET_[A-Z_]*\) (-1[0-9]\{4\})$/case \1:/p' include/iouringnet.h
    echo 'case IOURINGNET_OK: return 1; default: return 0; } }'
    sed -n 's/^#define \(iouringnet_\([a-z_]*\)_init\)(.*/void use_\2(iouringnet_\2 *s); void use_\2(iouringnet_\2 *s) { \1(s); }/p' \
        include/iouringnet.h
    echo 'size_t unbuffered(void); size_t unbuffered(void) { return IOURINGNET_UNBUFFERED; }'
    echo 'int32_t cpu(void); int32_t cpu(void) { return IOURINGNET_CPU(3); }'
    echo 'int64_t limits(void); int64_t limits(void) { return IOURINGNET_NO_TIMEOUT + IOURINGNET_NO_SPIN; }'
    echo 'typedef char one_version[IOURINGNET_VERSION == (IOURINGNET_VERSION_MAJOR << 16 | IOURINGNET_VERSION_MINOR << 8'
    echo '  | IOURINGNET_VERSION_PATCH) ? 1 : -1];'
} > "$dir/twice.c"
# Each program of the essay begins with this include, and ends with main.
sed -n 's/^ \*   //p' include/iouringnet.h | awk -v dir="$dir" '
    /^#include <iouringnet.h>$/ { file = dir "/program" ++programs ".c"; in_main = 0 }
    file { print > file }
    /^int main/ { in_main = 1 }
    /^}$/ && in_main { file = "" }'
[ -f "$dir/program2.c" ] || { echo "header-matrix: the header shows fewer than two programs" >&2; exit 1; }
files="alone twice program1 program2"
for file in $files; do cp "$dir/$file.c" "$dir/$file.cpp"; done

warnings="-Wall -Wextra -Wpedantic -Werror -Wshadow -Iinclude -fsyntax-only"
checked=0
check() { # compiler, standard, language's ending
    command -v "$1" > /dev/null || { echo "header-matrix: $1 is not installed" >&2; exit 1; }
    for file in $files; do
        for names in -UIOURINGNET_PREFIXED -DIOURINGNET_PREFIXED; do
            # shellcheck disable=SC2086 # a list of options
            "$1" "-std=$2" $warnings $names "$dir/$file.$3" ||
                { echo "header-matrix: $1 -std=$2 $names refuses $file" >&2; exit 1; }
            checked=$((checked + 1))
        done
    done
}
for standard in c99 c11 c17; do
    for compiler in gcc clang; do check "$compiler" "$standard" c; done
done
for standard in c++11 c++20; do
    for compiler in g++ clang++; do check "$compiler" "$standard" cpp; done
done
echo "header-matrix: $checked compilations without a warning"
