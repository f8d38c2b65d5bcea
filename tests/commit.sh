#!/usr/bin/env bash
# Prints the number that stands for chance in a run, so that the run can be repeated: the first eight digits of the commit, or
# of the source's hash where there is no git.
set -euo pipefail
cd "$(dirname "$0")/.."
commit=$(git -c safe.directory='*' rev-parse HEAD 2>/dev/null) ||
    commit=$(find src tests vm-tests -type f -print0 | sort -z | xargs -0 cat | sha256sum)
echo $((16#${commit:0:8}))
