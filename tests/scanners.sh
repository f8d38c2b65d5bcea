#!/usr/bin/env bash
# Runs scanners on a node that the program makes with profile cis: tests/scanners.sh PROGRAM DIR. DIR has kube-bench's
# folders cfg/cis-*. checkov and Prowler come from PyPI into target/scanners (0.4 GB), which is removed in the end. Each
# scanner must pass every check of auditing with profile cis, and fail with the default, so that it is seen to look.
set -euo pipefail
program=$(realpath "${1:?usage: scanners.sh PROGRAM DIR}") checks=$(realpath "${2:?usage: scanners.sh PROGRAM DIR}")
here=$(dirname "$(realpath "$0")")
tools=$here/../target/scanners
work=$(mktemp -d)
trap 'rm -rf "$work" "$tools"' EXIT

# tool NAME PACKAGE...: a Python environment with the packages.
tool() {
    [ -e "$tools/$1/installed" ] && return
    rm -rf "${tools:?}/$1"
    python3 -m venv "$tools/$1"
    "$tools/$1/bin/pip" --quiet install "${@:2}"
    touch "$tools/$1/installed"
}
tool checkov checkov==3.3.30
# Without what it needs for every cloud, which is 1.5 GB.
tool prowler --no-deps prowler==5.46.0 pyyaml

for profile in default cis; do
    "$here/sample-node.sh" "$work/$profile"
    mkdir -p "$work/$profile/etc/kube-audit-bootstrap"
    printf '%s\n' 'apiVersion: kube-audit-bootstrap/v1alpha1' 'kind: AuditBootstrapConfiguration' "profile: $profile" \
        >"$work/$profile/etc/kube-audit-bootstrap/config.yaml"
    "$program" --root "$work/$profile" apply >/dev/null
done

run_kube_bench() { "$tools/checkov/bin/python" "$here/scanners/kube_bench.py" "$1" "$checks"; }
run_checkov() {
    "$tools/checkov/bin/checkov" --compact --skip-download --framework kubernetes \
        --check CKV_K8S_91,CKV_K8S_92,CKV_K8S_93,CKV_K8S_94 \
        --file "$1/etc/kubernetes/manifests/kube-apiserver.yaml" --output json >"$work/checkov.json" || true
    "$tools/checkov/bin/python" - "$work/checkov.json" <<'END'
import json, sys
results = json.load(open(sys.argv[1]))["results"]
for kind in ("passed_checks", "failed_checks"):
    for check in results[kind]:
        print(kind.split("_")[0], check["check_id"], check["check_name"])
sys.exit(len(results["passed_checks"]) != 4 or len(results["failed_checks"]) > 0)
END
}
run_prowler() { "$tools/prowler/bin/python" "$here/scanners/prowler_checks.py" "$1"; }

for scanner in kube_bench checkov prowler; do
    echo "== $scanner, profile cis"
    "run_$scanner" "$work/cis"
    echo "== $scanner, the default"
    if "run_$scanner" "$work/default" >"$work/said" 2>&1; then
        echo "scanners: $scanner passes the default, whose files are too small" >&2
        exit 1
    fi
    grep -iE '^fail' "$work/said" || { cat "$work/said" >&2; exit 1; }
done
echo 'scanners: all pass with profile cis'
