// The reader that Kubernetes itself reads YAML with, in the newest version that the Go of Debian 12 (1.19) builds.
module kube-audit-bootstrap/judge

go 1.19

require sigs.k8s.io/yaml v1.4.0
