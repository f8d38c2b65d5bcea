#!/usr/bin/env bash
# Prints the seed of a run, so that the run can be repeated: the first eight digits of the commit, or of the hash of the
# source if there is no git.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git -c safe.directory='*' rev-parse HEAD 2>/dev/null) ||
    commit=$(find src tests vm-tests -type f -print0 | sort -z | xargs -0 cat | sha256sum)
echo $((16#${commit:0:8}))
