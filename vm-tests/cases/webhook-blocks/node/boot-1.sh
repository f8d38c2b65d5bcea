step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'the manifest is kept' keep bare manifest
configure 'webhook: {configFile: /etc/kubernetes/audit-webhook.yaml, mode: blocking-strict}'
cat >/etc/kubernetes/audit-webhook.yaml <<'END'
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9", insecure-skip-tls-verify: true}}]
contexts: [{name: c, context: {cluster: c, user: ""}}]
current-context: c
END
LIMIT=300 step 'apply --wait puts back what keeps the API server from answering' \
    says 'everything is as it was' exits 4 kube-audit-bootstrap apply --wait 60s
step 'the manifest is the previous one' is_still bare manifest
step 'the API server answers' eventually api_is_ready
