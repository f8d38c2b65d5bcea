SOURCE=/etc/kube-audit-bootstrap/audit-policy.yaml

# What cloud-init would write to a file, by its own eyes.
rendered() {
    kube-audit-bootstrap render cloud-init | python3 -c '
import sys, yaml
print(next(file["content"] for file in yaml.safe_load(sys.stdin)["write_files"] if file["path"] == sys.argv[1]), end="")' "$1"
}
