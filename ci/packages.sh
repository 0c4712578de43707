#!/usr/bin/env bash
# Makes the Debian packages of the last commit, without network and twice, in two places: build/packages/. The bytes are the
# same, lintian finds no error, and abidiff sees from the debug symbols where a struct has changed.
# usage: bash ci/packages.sh [--once]: without the checks
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
name=libiouringnet-$version
quietly() { "$@" >"$work/log" 2>&1 || { tail -n 50 "$work/log"; echo "FAILED: $*"; exit 1; }; }

checks=(lintian abidiff)
[ "${1:-}" != --once ] || checks=()
if ! command -v apt-get >/dev/null || ! sh ci/need.sh dpkg-buildpackage dh fakeroot "${checks[@]}"; then
    echo "SKIPPED: the tools for Debian packages are missing"
    exit 0
fi
changelog=$(dpkg-parsechangelog -S Version)
[ "$changelog" = "$version" ] || { echo "debian/changelog says $changelog, and Cargo.toml says $version"; exit 1; }

# The source with the crates inside.
git archive --prefix="$name/" HEAD | tar -x -C "$work"
if ! (cd "$work/$name" && timeout 120 cargo vendor --quiet --locked --versioned-dirs vendor >"$work/log" 2>&1); then
    cat "$work/log"
    echo "SKIPPED: the crates cannot be had"
    exit 0
fi
cat >>"$work/$name/.cargo/config.toml" <<'TOML'
[source.crates-io]
replace-with = "vendor"
[source.vendor]
directory = "vendor"
TOML

profile=
for tool in clang pandoc; do command -v $tool >/dev/null || profile=nodoc; done
[ -z "$profile" ] || echo "SKIPPED: the manual, since clang or pandoc is missing"
offline=()
for try in "unshare -n" "unshare -rn"; do
    if [ ${#offline[@]} = 0 ] && $try true 2>/dev/null; then read -ra offline <<<"$try"; fi
done
[ ${#offline[@]} -gt 0 ] || echo "SKIPPED: no network namespace can be made; cargo is told to stay offline"

# make_packages PLACE: Rust may be rustup's, so no package of it is asked for
make_packages() {
    mkdir -p "$work/$1"
    cp -a "$work/$name" "$work/$1/"
    (cd "$work/$1/$name" && RUSTUP_HOME=${RUSTUP_HOME:-$HOME/.rustup} HOME=/nonexistent \
        "${offline[@]}" dpkg-buildpackage -b -us -uc -d -P"$profile" >"$work/$1/log" 2>&1) ||
        { tail -n 50 "$work/$1/log"; echo "FAILED: dpkg-buildpackage"; return 1; }
}

if [ "${1:-}" = --once ]; then
    make_packages first
else
    make_packages first &
    first=$!
    make_packages another/place
    wait $first
fi
rm -rf build/packages
mkdir -p build/packages
cp "$work"/first/*.deb "$work"/first/*.changes "$work"/first/*.buildinfo build/packages/
ls build/packages/*.deb
[ "${1:-}" != --once ] || exit 0

for deb in "$work"/first/*.deb; do
    cmp "$deb" "$work/another/place/${deb##*/}"
done
echo "two builds in two places: the same bytes"

lintian --allow-root --fail-on error --suppress-tags bad-distribution-in-changes-file "$work"/first/*.changes
echo "lintian: no error"

# The types of the packaged library, and of two that are compiled in haste, of which the second has two fields exchanged.
for deb in "$work"/first/libiouringnet0.2*.deb; do dpkg-deb -x "$deb" "$work/root"; done
packaged=$(find "$work/root/usr/lib" -name "libiouringnet.so.$version")
hasty() {
    CARGO_NET_OFFLINE=true CARGO_PROFILE_RELEASE_DEBUG=full CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
        CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 quietly cmake --build "$work/hasty" --target iouringnet_installed
}
changes() { # 0: none, otherwise the bits that abidiff documents
    local code=0
    abidiff --debug-info-dir1 "$work/root/usr/lib/debug" "$packaged" "$work/hasty/libiouringnet.so" >"$work/log" || code=$?
    echo $code
}
quietly cmake -S "$work/$name" -B "$work/hasty" -DIOURINGNET_TESTS=OFF -DIOURINGNET_EXAMPLES=OFF -DIOURINGNET_TOOLS=OFF
hasty
[ "$(changes)" = 0 ] || { cat "$work/log"; echo "FAILED: abidiff sees a change where none is"; exit 1; }
sed -i '/^pub struct iouringnet_completion {/,/^}/{s/pub sink: \*mut iouringnet_sink/pub other: *mut iouringnet_stream/
    s/pub stream: \*mut iouringnet_stream/pub sink: *mut iouringnet_sink/
    s/pub other:/pub stream:/}' "$work/$name/src/ffi/types.rs"
hasty
[ "$(changes)" != 0 ] && grep -q "iouringnet_completion" "$work/log" ||
    { cat "$work/log"; echo "FAILED: abidiff does not see that two fields of a struct are exchanged"; exit 1; }
echo "abidiff: sees two fields that are exchanged, and nothing where nothing is"
