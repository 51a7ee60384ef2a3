#!/bin/sh
# Starts applications of other languages, lets the server ask them, and looks at what clients see.
#
# GYRE_BIN names another server binary than target/debug/gyre.
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
venv=$root/target/proxy-python
if ! installed requirements.txt "$venv/.installed"; then
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
    cp requirements.txt "$venv/.installed"
fi
generated=$root/target/proxy-python-generated
rm -rf "$generated"
mkdir -p "$generated"
proto=$root/proto
"$venv/bin/python" -m grpc_tools.protoc -I "$proto" --python_out="$generated" --grpc_python_out="$generated" \
    "$proto"/proxy/*.proto "$proto"/options/*.proto
PYTHONPATH=$generated PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest -q
