#!/usr/bin/env bash
# Prints the version of the program from Cargo.toml.
set -euo pipefail
sed -n '/^version = /{s/.*"\(.*\)"/\1/p;q}' "$(dirname "$0")/../Cargo.toml"
