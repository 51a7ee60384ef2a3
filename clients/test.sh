#!/usr/bin/env bash
# Tests all clients. With GYRE_BIN naming a server program they are also run against it.
#
# Needs Node.js 20.3 or newer with npm, and Python 3.10 or newer with venv; installs the type checkers.
set -euo pipefail
cd "$(dirname "$0")"

(cd typescript && npm ci --no-audit --no-fund && npm test)

tools="$PWD/../target/python-tools"
[ -x "$tools/bin/mypy" ] || { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet "mypy==1.*"; }
cd python
"$tools/bin/mypy" --cache-dir="$tools/mypy-cache"
python3 -B -m unittest
