# Where the log lies on the host.
AUDIT_LOG=/data/log/kube/audit/audit.log
POLICY=/var/etc/kubernetes/audit/policy.yaml

# An administrator audits by hand: the policy and the log are below directories that are mounted from other paths of the
# host.
audit_by_hand() {
    mkdir -p "$(dirname "$POLICY")" "$(dirname "$AUDIT_LOG")"
    cat >"$POLICY" <<'END'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  nonResourceURLs: ["*"]
- level: Request
END
    edit_manifest '
        s|^    - kube-apiserver$|&\
    - --audit-policy-file=/etc/kubernetes/audit/policy.yaml\
    - --audit-log-path=/var/log/kube/audit/audit.log|
        s|^    volumeMounts:$|&\
    - mountPath: /etc/kubernetes/audit\
      name: audit-pol\
      readOnly: true\
    - mountPath: /var/log\
      name: logs|
        s|^  volumes:$|&\
  - hostPath:\
      path: /var/etc/kubernetes/audit\
      type: Directory\
    name: audit-pol\
  - hostPath:\
      path: /data/log\
    name: logs|'
}
# The API server records by the administrator's policy: no other one here has the level Request for everything.
records_by_it() { has_events '.level == "Request"' && has_no_events '.level == "Metadata"'; }
# Nothing was made at the paths that only the container sees.
lacks_paths() { finds_nothing /etc/kubernetes /var/log -maxdepth 1 '(' -name 'audit*' -o -name kube ')'; }
# As kind does with extraMounts.
mount_policy() {
    cp "$POLICY" /root/mounted.yaml && : >/etc/kubernetes/audit-policy.yaml &&
        mount --bind /root/mounted.yaml /etc/kubernetes/audit-policy.yaml
}
mount_count() { grep -c mountPath: "$MANIFEST"; }
