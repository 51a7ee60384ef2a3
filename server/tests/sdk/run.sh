#!/bin/sh
# Installs the published clients and drives them against the server.
#
# GYRE_BIN names another server binary than target/debug/gyre; with a Centrifugo binary the same
# scenarios prove that they ask for what Centrifugo does.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
GYRE_BIN=${GYRE_BIN:-$root/target/debug/gyre}
export GYRE_BIN

if [ ! -x "$GYRE_BIN" ]; then
    echo "no server at $GYRE_BIN: build it with cargo build -p gyre" >&2
    exit 1
fi

# Installs again only when the pinned versions changed: installed <pins> <copy of the pins installed>
installed() {
    cmp -s "$1" "$2"
}

cd "$here/node"
if ! installed package-lock.json node_modules/.installed; then
    npm ci --no-audit --no-fund
    cp package-lock.json node_modules/.installed
fi
npm test

cd "$here/python"
venv=$root/target/sdk-python
if ! installed requirements.txt "$venv/.installed"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt "$venv/.installed"
fi
PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest -q
