#!/bin/sh
# Installs the published clients and drives them against the server.
#
# GYRE_BIN names another server binary than target/debug/gyre; with a Centrifugo binary the same
# scenarios prove that they ask for what Centrifugo does.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../languages.sh"

cd "$here/node"
node_tests

cd "$here/python"
python_tests sdk
