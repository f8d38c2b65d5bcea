#!/usr/bin/env bash
# Breaks the program in every way that cargo-mutants knows, one way at a time, and expects a test to go red:
#
#   tests/mutants.sh                 all that .cargo/mutants.toml names; hours
#   tests/mutants.sh src/yaml ...    a folder or a file
#   tests/mutants.sh --in-diff REV   the lines that were changed since a commit
#
# A mutant that no test notices must stand in tests/mutants/equivalent.tsv, with the reason why it changes nothing. JOBS
# (1) is how many mutants are tried at once, SHARD (such as 1/4) a part of them. RESUME=1 goes on with a run that was
# cut off.
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
        [ -e "$path" ] || { echo "$path: there is no such file or folder" >&2; exit 2; }
        [ ! -d "$path" ] || path=${path%/}/**
        scope+=(--file "$path")
    done
fi

# A mutant that runs in circles, or takes all memory, is ended by the kernel, and so is noticed.
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER='prlimit --cpu=120 --as=8589934592'
# Few random examples: what the fixed ones miss shall be noticed, and not by chance.
export PROPTEST_CASES=${PROPTEST_CASES:-16} CARGO_PROFILE_DEV_DEBUG=0 RUST_BACKTRACE=0

# mutate OPTION... -- TESTS...: exit code 2 says that some were missed, 3 that a test took too long.
mutate() {
    local code=0
    $tool mutants --output $out --copy-vcs true --jobs "${JOBS:-1}" ${SHARD:+--shard "$SHARD"} --no-times \
        --minimum-test-timeout 300 --colors never "${scope[@]}" "$@" || code=$?
    case $code in 0 | 2 | 3) ;; *) exit $code ;; esac
}
[ -n "${RESUME-}" ] || rm -rf $out/mutants.out $out/mutants.out.old
# First by the unit tests, which are quick to build, and then what those miss by the whole binary.
mutate ${RESUME:+--iterate} -- --locked --lib
[ ! -s $out/mutants.out/missed.txt ] ||
    mutate --iterate -- --locked --test cases --test cli --test hostile --test examples --test hook

# FILE, what was done to it, and the text of the line: a number of a line would be another one after each edit.
name() {
    local file line rest
    while IFS=: read -r file line _ rest; do
        printf '%s\t%s\t%s\n' "$file" "${rest# }" "$(sed -n "${line}s/^ *//p" "$file")"
    done
}
name <$out/mutants.out/missed.txt | sort -u >$out/missed.tsv
sed '/^#/d' $known | cut -f 1-3 | sort -u >$out/known.tsv
comm -23 $out/missed.tsv $out/known.tsv >$out/survivors.tsv
# Of each file: how many were noticed, of those that compile.
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
echo "$(wc -l <$out/survivors.tsv) that nobody noticed are not known to change nothing:"
cat $out/survivors.tsv
# One that is noticed now is no equivalent of the program.
if [ $# -eq 0 ] && [ -z "${SHARD-}" ] && ! comm -13 $out/missed.tsv $out/known.tsv | diff - /dev/null; then
    echo "$known names mutants that a test notices, or that there are no more: remove them" >&2
    exit 1
fi
[ ! -s $out/survivors.tsv ]
