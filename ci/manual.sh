#!/usr/bin/env bash
# The manual: a page for everything in the header, without a warning of man or mandoc, and a site without a dead link. Remarks
# of mandoc on style are no faults. The manual is left in build/man and build/html.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! sh ci/need.sh clang pandoc man mandoc python3; then
    echo "SKIPPED: the manual needs these tools"
    exit 0
fi
python3 docs/manual/build.py --out build
python3 docs/manual/check.py build
# The same texts give the same bytes.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 docs/manual/build.py --out "$work" >/dev/null
diff -r build/man "$work/man"
diff -r build/html "$work/html"
echo "two builds are the same"
