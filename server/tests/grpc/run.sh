#!/bin/sh
# Generates clients from the contracts as anyone would, and drives them against the server.
#
# GYRE_BIN names another server binary than target/debug/gyre.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../languages.sh"

cd "$here/node"
node_tests

cd "$here/python"
proto=$root/proto
python_tests grpc "$proto"/realtime/*.proto "$proto"/client/*.proto "$proto"/options/*.proto "$proto"/unistream/*.proto
