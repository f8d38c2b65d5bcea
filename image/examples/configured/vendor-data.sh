#!/bin/sh
# Vendor-data for an image that has the program. cloud-init runs this script after the user-data's write_files and
# before its runcmd. If the script fails, cloud-init still runs runcmd; then only the kubeadm hook can stop kubeadm.
set -e
install -D -m 0644 /dev/stdin /etc/kube-audit-bootstrap/config.yaml <<'END'
apiVersion: kube-audit-bootstrap/v1alpha1
kind: AuditBootstrapConfiguration
policy:
  source: /etc/kube-audit-bootstrap/audit-policy.yaml
log:
  path: /var/log/kube-audit/audit.log
  maxSize: 100
storage:
  device: LABEL=kube-audit   # a disk of the log's own
  group: 1500                # the log shipper's
END
install -D -m 0600 /dev/stdin /etc/kube-audit-bootstrap/audit-policy.yaml <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
# Who reads a secret is recorded, what it holds is not.
- level: Metadata
  resources:
  - group: ""
    resources: [secrets, configmaps, serviceaccounts/token]

- level: None
  verbs: [get, list, watch]
  users: ["system:kube-scheduler", "system:kube-controller-manager"]

- level: Metadata
END
kube-audit-bootstrap apply
