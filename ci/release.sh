#!/usr/bin/env bash
# Makes what a release publishes, of a tag or commit, in build/release/, with checksums. It publishes nothing, and needs no
# network if the crates of Cargo.lock have been fetched. docs/RELEASING.md says what comes before and after.
# usage: ci/release.sh [--source] [TAG OR COMMIT]
#   --source  the source archive alone
set -euo pipefail
cd "$(dirname "$0")/.."
only_source=false
if [ "${1:-}" = --source ]; then only_source=true; shift; fi
wanted=${1:-HEAD}
commit=$(git rev-parse --verify "$wanted^{commit}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

version=$(git show "$commit:Cargo.toml" | sed -n 's/^version = "\(.*\)"$/\1/p' | head -n 1)
name=libiouringnet-$version
fail() { echo "$*" >&2; exit 1; }
case $wanted in
    v*) [ "$wanted" = "v$version" ] || fail "the tag is $wanted, and Cargo.toml says $version" ;;
esac
header=$(git show "$commit:include/iouringnet.h" | sed -n 's/^#define IOURINGNET_VERSION_[A-Z]* //p' | paste -sd .)
[ "$header" = "$version" ] || fail "the header says $header, and Cargo.toml says $version: run ci/header.sh --write"
git show "$commit:CHANGELOG.md" | grep -q "^## \[$version\]" || fail "CHANGELOG.md has no chapter $version"

to=$PWD/build/release
rm -rf "$to"
mkdir -p "$to"

# The same tree makes the same bytes: names in order, one time, no owner, and modes that know no umask.
time=$(git show -s --format=%ct "$commit")
archive() { # DIRECTORY FILE
    tar -C "$(dirname "$1")" --sort=name --mtime="@$time" --mode=u=rwX,go=rX --owner=0 --group=0 --numeric-owner \
        -cf - "$(basename "$1")" | gzip -9n >"$2"
}

git archive --prefix="$name/" "$commit" | tar -x -C "$work"
archive "$work/$name" "$to/$name.tar.gz"

vendor() {
    mkdir "$work/$name-vendor"
    if (cd "$work/$name" && cargo vendor --quiet --locked --offline "$work/$name-vendor/vendor" >"$work/log" 2>&1); then
        cat >"$work/$name-vendor/README" <<'TEXT'
The crates of Cargo.lock. Move `vendor` into the source, and these lines into its .cargo/config.toml:

[source.crates-io]
replace-with = "vendored-sources"
[source.vendored-sources]
directory = "vendor"
TEXT
        archive "$work/$name-vendor" "$to/$name-vendor.tar.gz"
    else
        echo "SKIPPED: the crates are not all here: run cargo fetch --locked" >&2
    fi
}

# Everything that is installed, below a directory that can be moved, and a program that uses it there.
tree() {
    local tree=$work/$name-$(uname -m)
    export CARGO_NET_OFFLINE=true
    cmake -S "$work/$name" -B "$work/build" -DCMAKE_INSTALL_LIBDIR=lib -DIOURINGNET_TESTS=OFF -DIOURINGNET_EXAMPLES=OFF \
        >"$work/log" 2>&1 && cmake --build "$work/build" >>"$work/log" 2>&1 || { tail -n 30 "$work/log"; exit 1; }
    cmake --build "$work/build" --target manual >>"$work/log" 2>&1 ||
        { tail -n 3 "$work/log"; echo "SKIPPED: the manual" >&2; }
    cmake --install "$work/build" --prefix "$tree" >>"$work/log" 2>&1 || { tail -n 30 "$work/log"; exit 1; }
    find "$tree" -name 'libiouringnet.so.*.*.*' -exec strip --strip-unneeded {} +
    archive "$tree" "$to/$name-$(uname -m).tar.gz"
    cat >"$work/main.c" <<'C'
#include <iouringnet.h>
int main(void) { return iouringnet_version() != IOURINGNET_VERSION; }
C
    mkdir "$work/moved"
    tar -xzf "$to/$name-$(uname -m).tar.gz" -C "$work/moved"
    tree=$work/moved/$(basename "$tree")
    cc "$work/main.c" -I"$tree/include" -L"$tree/lib" -liouringnet -Wl,-rpath,"$tree/lib" -o "$work/main" && "$work/main" ||
        fail "a program does not run with the installed tree"
}

# The packages of Debian, which ci/packages.sh makes of the last commit.
packages() {
    [ -e ci/packages.sh ] || return 0
    if [ "$commit" != "$(git rev-parse HEAD)" ]; then
        echo "SKIPPED: packages, since $wanted is not the last commit" >&2
        return 0
    fi
    rm -rf build/packages
    bash ci/packages.sh --once
    if [ -d build/packages ]; then find build/packages -name '*.deb' -exec cp {} "$to" \;; fi
}

if [ "$only_source" = false ]; then
    vendor
    tree
    packages
fi
shopt -s nullglob
cd "$to"
sha256sum -- *.tar.gz *.deb >SHA256SUMS
sha256sum --quiet -c SHA256SUMS
ls -l
cat SHA256SUMS
