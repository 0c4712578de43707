#!/bin/sh
# Sees to the libraries that the measurements compare with. Installs them where this runs as root and apt-get is there;
# otherwise says what is missing and goes on: what cannot be built is skipped, and the build says so; without
# liburing-dev it stops.
set -eu

# Installed or not is told by a header of each package.
wanted="liburing.h:liburing-dev uv.h:libuv1-dev event2/event.h:libevent-dev asio.hpp:libasio-dev nng/nng.h:libnng-dev
    http_parser.h:libhttp-parser-dev"

absent() {
    for pair in $wanted; do
        [ -e "/usr/include/${pair%%:*}" ] || printf ' %s' "${pair##*:}"
    done
    command -v pkg-config >/dev/null 2>&1 || printf ' pkg-config'
    command -v g++ >/dev/null 2>&1 || printf ' g++'
    command -v wrk >/dev/null 2>&1 || printf ' wrk'
}

# Not installed from here: the package starts a server, which also starts whenever the system does.
absent_server() {
    PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v nginx >/dev/null 2>&1 || printf ' nginx-light'
}

missing=$(absent)
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing$missing"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    # A fresh image has no lists of packages yet.
    # shellcheck disable=SC2086
    timeout 300 apt-get install -y --no-install-recommends $missing >"$log" 2>&1 </dev/null ||
        { timeout 120 apt-get update >>"$log" 2>&1 &&
            timeout 300 apt-get install -y --no-install-recommends $missing >>"$log" 2>&1 </dev/null; } ||
        tail -5 "$log" >&2
    rm -f "$log"
    missing=$(absent)
fi
missing=$missing$(absent_server)
if [ -n "$missing" ]; then
    echo "missing, so that what needs it is skipped:$missing" >&2
    echo "  on Debian: sudo apt-get install -y$missing" >&2
fi
