# What the tests in other languages have in common; sourced by their run.sh after it has set $here.
#
# GYRE_BIN names another server binary than target/debug/gyre.

root=$(cd "$here/../../.." && pwd)
GYRE_BIN=${GYRE_BIN:-$root/target/debug/gyre}
export GYRE_BIN

if [ ! -x "$GYRE_BIN" ]; then
    echo "no server at $GYRE_BIN: build it with cargo build -p gyre" >&2
    exit 1
fi

# Runs the tests of this directory; what they need is installed again only when its pinned versions changed.
node_tests() {
    if ! cmp -s package-lock.json node_modules/.installed; then
        npm ci --no-audit --no-fund
        cp package-lock.json node_modules/.installed
    fi
    npm test
}

# The same with the environment target/<name>-python; beyond the first argument, contracts to generate code from.
python_tests() {
    venv=$root/target/$1-python
    shift
    if ! cmp -s requirements.txt "$venv/.installed"; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
        cp requirements.txt "$venv/.installed"
    fi
    if [ $# -gt 0 ]; then
        PYTHONPATH=$venv-generated
        export PYTHONPATH
        rm -rf "$PYTHONPATH"
        mkdir -p "$PYTHONPATH"
        "$venv/bin/python" -m grpc_tools.protoc -I "$root/proto" --python_out="$PYTHONPATH" \
            --grpc_python_out="$PYTHONPATH" "$@"
    fi
    PYTHONDONTWRITEBYTECODE=1 "$venv/bin/python" -m pytest -q
}
