#!/usr/bin/env bash
# Fuzzes each decoder for a while. Needs a nightly toolchain and cargo-fuzz; FUZZ_SECONDS is per target.
set -euo pipefail
cd "$(dirname "$0")"
for target in fuzz_targets/*.rs; do
  name=$(basename "$target" .rs)
  echo "== $name =="
  cargo +nightly fuzz run -s none "$name" -- -max_len=4096 -max_total_time="${FUZZ_SECONDS:-300}"
done
