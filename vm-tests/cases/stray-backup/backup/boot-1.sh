step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

# The guide's own name sorts before the manifest: the kubelet takes both in turn for the same pod.
watch_api
cp "$MANIFEST" /etc/kubernetes/manifests/kube-apiserver.backup
LIMIT=150 step 'the copy alone restarts the API server' eventually another_api_is_ready
LIMIT=120 step 'it stays' stays_for 25

watch_api
cp /etc/kubernetes/manifests/kube-apiserver.backup "$WORK/copy"
step 'apply moves the copy away' kube-audit-bootstrap apply
step 'a backup has the copy' is_backed_up "$WORK/copy"
step 'the copy is gone' test ! -e /etc/kubernetes/manifests/kube-apiserver.backup
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
step 'it has the 14 audit flags' has_default_flags
LIMIT=120 step 'it stays' stays_for 25
step 'it was started once' is "$(api_starts)" 1
step 'events are written' eventually has_events '.stage == "ResponseComplete"'
