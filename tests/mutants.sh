#!/usr/bin/env bash
# Breaks the program in every way that cargo-mutants knows, one way at a time, and expects a test to fail:
#
#   tests/mutants.sh                 all files that .cargo/mutants.toml names; hours
#   tests/mutants.sh src/yaml ...    a folder or a file
#   tests/mutants.sh --in-diff REV   the lines that changed since a commit
#
# A mutant that no test notices must be in tests/mutants/equivalent.tsv, with the reason why it changes nothing. JOBS
# (1) is the number of mutants that run at once. SHARD (such as 1/4) runs a part of the mutants. RESUME=1 continues an
# interrupted run.
set -euo pipefail
cd "$(dirname "$0")/.."
version=25.3.1
tool=target/tools/bin/cargo-mutants
out=target/mutants
known=tests/mutants/equivalent.tsv

[ -x $tool ] && [ "$($tool mutants --version)" = "cargo-mutants $version" ] ||
    cargo install --quiet --locked cargo-mutants --version $version --root target/tools

scope=()
if [ "${1-}" = --in-diff ]; then
    mkdir -p $out
    git diff "${2:?usage: mutants.sh --in-diff REV}" -- src >$out/diff
    scope=(--in-diff $out/diff)
else
    for path in "$@"; do
        [ -e "$path" ] || { echo "$path: no such file or folder" >&2; exit 2; }
        [ ! -d "$path" ] || path=${path%/}/**
        scope+=(--file "$path")
    done
fi

# The kernel ends a mutant that never stops or takes all memory, so a test notices it.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='prlimit --cpu=120 --as=8589934592'
# Use few random examples: the fixed examples must notice the mutant, not chance.
export PROPTEST_CASES=${PROPTEST_CASES:-16} CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0

# mutate OPTION... -- TESTS...: exit code 2 means that tests missed mutants, 3 that a test took too long.
mutate() {
    local code=0
    $tool mutants --output $out --copy-vcs true --jobs "${JOBS:-1}" ${SHARD:+--shard "$SHARD"} --no-times \
        --minimum-test-timeout 300 --colors never "${scope[@]}" "$@" || code=$?
    case $code in 0 | 2 | 3) ;; *) exit $code ;; esac
}
[ -n "${RESUME-}" ] || rm -rf $out/mutants.out $out/mutants.out.old
# First run the unit tests, which build quickly. Then run the whole-binary tests for the mutants that those missed.
mutate ${RESUME:+--iterate} -- --locked --lib
[ ! -s $out/mutants.out/missed.txt ] ||
    mutate --iterate -- --locked --test cases --test cli --test hostile --test examples --test hook

# Prints FILE, the mutation, and the text of the line, because a line number would change with each edit.
name() {
    local file line rest
    while IFS=: read -r file line _ rest; do
        printf '%s\t%s\t%s\n' "$file" "${rest# }" "$(sed -n "${line}s/^ *//p" "$file")"
    done
}
name <$out/mutants.out/missed.txt | sort -u >$out/missed.tsv
sed '/^#/d' $known | cut -f 1-3 | sort -u >$out/known.tsv
comm -23 $out/missed.tsv $out/known.tsv >$out/survivors.tsv
# For each file: how many mutants were noticed, of those that compile.
{
    find $out/mutants.out* \( -name caught.txt -o -name timeout.txt -o -name previously_caught.txt \) \
        -exec sed 's/^/caught /' {} +
    sed 's/^/missed /' $out/mutants.out/missed.txt
} | sort -u |
    awk '{ sub(/:.*/, "", $2); all[$2]++; all["all"]++; if ($1 == "caught") { caught[$2]++; caught["all"]++ } }
        END {
            for (file in all)
                printf "%-32s %4d of %4d noticed, %5.1f %%\n",
                    file, caught[file], all[file], 100 * caught[file] / all[file]
        }' | sort
echo "$(wc -l <$out/survivors.tsv) mutants that no test noticed are not in $known:"
cat $out/survivors.tsv
# A mutant that a test notices now is not equivalent to the program.
if [ $# -eq 0 ] && [ -z "${SHARD-}" ] && ! comm -13 $out/missed.tsv $out/known.tsv | diff - /dev/null; then
    echo "$known names mutants that a test notices, or that no longer exist: remove them" >&2
    exit 1
fi
[ ! -s $out/survivors.tsv ]
