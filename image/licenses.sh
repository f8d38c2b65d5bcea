#!/usr/bin/env bash
# Prints the licenses of everything that is linked into the program: image/licenses.sh TRIPLE.
set -euo pipefail
cd "$(dirname "$0")/.."
triple=${1:?usage: licenses.sh TRIPLE}
export LC_ALL=C
cat <<'END'
kube-audit-bootstrap is under the Apache License 2.0. It is linked with

* the GNU C library, under the GNU Lesser General Public License 2.1 or later; the text is at the end
* Rust's standard library, under MIT or Apache-2.0
* the crates below

To use another build of the C library, link the program again, from its source.
END
rule() { printf '\n%s\n' "$(printf '=%.0s' {1..100})"; }
cargo tree --locked --edges normal,no-proc-macro --target "$triple" --prefix none --format '{p} {l}' |
    sed 's/ (\*)$//' | grep -v '^kube-audit-bootstrap ' | sort -u |
    while read -r name version license; do
        rule
        printf '%s %s: %s\n' "$name" "${version#v}" "$license"
        # If a crate offers several licenses, one is enough.
        text=$(find "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-${version#v}" -maxdepth 1 -type f \
            \( -iname 'LICENSE*' -o -iname 'COPYING*' \) | sort | awk '/LICENSE-MIT/ { mit = $0 } { first = first ? first : $0 } END { print mit ? mit : first }')
        [ -n "$text" ] || { echo "$name $version: the crate contains no license text" >&2; exit 1; }
        echo
        cat "$text"
    done
rule
printf 'The GNU C library\n\n'
cat image/licenses/LGPL-2.1
