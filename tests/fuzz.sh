#!/usr/bin/env bash
# Reads random texts with every reader of other people's files, by cargo-fuzz:
#
#   tests/fuzz.sh SECONDS [TARGET...]    TARGET: a file of fuzz/fuzz_targets, without its ending; otherwise all of them
#
# A target fails if the program panics, hangs, or breaks what the head of its file says. The inputs that reach new code
# stay in target/fuzz/corpus, and the next run starts from them. An input that failed is in target/fuzz/failed; put a
# small one that is worth keeping into fuzz/seeds.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:?usage: fuzz.sh SECONDS [TARGET...]}
shift
version=0.13.2
tool=target/tools/bin/cargo-fuzz
[ -x $tool ] && [ "$($tool fuzz --version)" = "cargo-fuzz $version" ] ||
    cargo install --quiet --locked cargo-fuzz --version $version --root target/tools

targets=("$@")
[ $# -gt 0 ] || for file in fuzz/fuzz_targets/*.rs; do
    targets+=("$(basename "$file" .rs)")
done
# Without a sanitizer the stable compiler can build this, and the program has almost no unsafe code to look for. Without
# a trace of each comparison it reads three to six times as many texts; the words of words.dict stand in for it.
PATH=$PWD/target/tools/bin:$PATH CARGO_TARGET_DIR=$PWD/target/fuzz cargo fuzz build -s none --no-trace-compares
for target in "${targets[@]}"; do
    log=target/fuzz/$target.log
    mkdir -p "target/fuzz/corpus/$target" "target/fuzz/failed/$target"
    "target/fuzz/$(uname -m)-unknown-linux-gnu/release/$target" "target/fuzz/corpus/$target" "fuzz/seeds/$target" \
        -dict=fuzz/words.dict -artifact_prefix="target/fuzz/failed/$target/" -max_len=4096 -timeout=10 \
        -rss_limit_mb=1024 -max_total_time="$seconds" -print_final_stats=1 >"$log" 2>&1 ||
        { tail -n 40 "$log" && echo "fuzz: $target FAILED, see $log" && exit 1; }
    echo "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") texts in $seconds s, none failed"
done
