SOURCE=/etc/kube-audit-bootstrap/audit-policy.yaml

# rendered PATH: the content that the rendered user-data has for a file, as a YAML reader sees it.
rendered() {
    kube-audit-bootstrap render cloud-init | python3 -c '
import sys, yaml
files = yaml.safe_load(sys.stdin)["write_files"]
print(next(file["content"] for file in files if file["path"] == sys.argv[1]), end="")' "$1"
}
