#!/usr/bin/env bash
# Makes llhttp, the parser of examples-c/http_server, where the system has no package of it (Debian has libllhttp-dev from 13
# on): into build/llhttp, where cmake finds it. The source is that which Python's httptools carries.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.9.0
sha256=d484ebb7e3a3f3597b0f645fbd1b85633674ca808c1f5ba11c2caf7c66f5c8b6
to=build/llhttp

[ ! -e "$to/lib/libllhttp.a" ] && [ ! -e /usr/include/llhttp.h ] || exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "httptools==$version --hash=sha256:$sha256" >"$work/wanted"
timeout 120 python3 -m pip download --quiet --disable-pip-version-check --require-hashes --no-binary :all: --no-deps \
    --dest "$work" -r "$work/wanted" || { echo "llhttp cannot be had: no http_server" >&2; exit 0; }
tar -xzf "$work/httptools-$version.tar.gz" -C "$work"
source=$work/httptools-$version/vendor/llhttp
mkdir -p "$to/lib" "$to/include"
for file in api http llhttp; do
    cc -O2 -fPIC -I"$source/include" -c "$source/src/$file.c" -o "$work/$file.o"
done
ar rcs "$to/lib/libllhttp.a" "$work"/*.o
cp "$source/include/llhttp.h" "$to/include/"
