#!/bin/sh
# Starts applications of other languages, lets the server ask them, and looks at what clients see.
#
# GYRE_BIN names another server binary than target/debug/gyre.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../languages.sh"

cd "$here/node"
node_tests

cd "$here/python"
python_tests proxy "$root"/proto/proxy/*.proto "$root"/proto/options/*.proto
