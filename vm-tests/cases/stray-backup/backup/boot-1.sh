step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready

# This name, which is that of a guide, sorts before that of the manifest. The kubelet takes the two files in turn for
# the same pod.
watch_api
cp "$MANIFEST" /etc/kubernetes/manifests/kube-apiserver.backup
LIMIT=150 step 'the copy alone restarts the API server' eventually another_api_is_ready
LIMIT=120 step 'it goes on running' stays_for 25

watch_api
step 'the copy is kept' keep copy cat /etc/kubernetes/manifests/kube-apiserver.backup
step 'apply moves the copy away' kube-audit-bootstrap apply
step 'a backup has the copy' is_backed_up "$(kept copy)"
step 'the copy is gone' test ! -e /etc/kubernetes/manifests/kube-apiserver.backup
LIMIT=300 step 'another API server answers' eventually another_api_is_ready
step 'it has the 14 audit flags' has_default_flags
LIMIT=120 step 'it goes on running' stays_for 25
step 'it was started once' is "$(api_starts)" 1
step 'events are written' eventually has_events '.stage == "ResponseComplete"'
