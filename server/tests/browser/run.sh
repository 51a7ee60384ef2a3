#!/bin/sh
# Opens pages in Chromium that talk to the server.
#
# GYRE_BIN names another server binary than target/debug/gyre, CHROMIUM another browser than the one that is installed.
# Without a browser Debian's is installed; where that is impossible the tests are skipped, and say so.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../languages.sh"

browser() {
    command -v "${CHROMIUM:-chromium}" || command -v chromium-browser || command -v google-chrome
}

if ! browser >/dev/null; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    # What fails here shows in the next look for a browser.
    if command -v apt-get >/dev/null; then
        $as_root apt-get update -qq || true
        $as_root apt-get install -y -qq --no-install-recommends chromium || true
    fi
fi
if ! CHROMIUM=$(browser); then
    echo "SKIPPED: browser tests, because there is no Chromium and none can be installed" >&2
    exit 0
fi
export CHROMIUM

command -v openssl >/dev/null || { echo "no openssl, which makes the certificates of the tests" >&2; exit 1; }

cd "$here"
node_tests
