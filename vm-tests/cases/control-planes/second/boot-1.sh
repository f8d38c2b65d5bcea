step 'cloud-init succeeded' cloud_init_done
step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'the first node is told' eventually announce second-is-ready
LIMIT=300 step 'the first node is done' eventually was_announced first-is-done
step 'nothing has changed on this node' has_no_flags
step 'the configuration of the cluster is edited already' \
    is "$(kube-audit-bootstrap plan --output json | jq -r '.changes[].action' | xargs)" \
    'create-directory create-file edit-file'
LIMIT=300 step 'apply --wait proves the API server of this node' \
    says 'it recorded a request' kube-audit-bootstrap apply --wait "$LONG"
step 'it has the 14 audit flags' has_default_flags
step 'the first node is told' eventually announce second-is-done
step 'the first node has seen that' eventually was_announced first-has-seen
