step 'cloud-init succeeded' cloud_init_done
step 'the API server answers' eventually api_is_ready
step 'the node is ready' eventually node_is_ready
step 'it has the 14 audit flags' has_default_flags
step 'events of level Metadata are written' \
    eventually has_events '.level == "Metadata" and .stage == "ResponseComplete"'
step 'no events of another level' has_no_events '.level != "Metadata"'
step 'policy and log are private' is_private
step 'kubeadm'\''s file keeps its mode and owner' is "$(stat -c '%a %u:%g' /run/kubeadm/kubeadm.yaml)" '640 0:0'
step 'nobody but root may write there' \
    finds_nothing /etc/kubernetes /var/log/kubernetes /var/lib/kube-audit-bootstrap -perm /022 ! -type l
step 'kubeadm'\''s previous file is backed up' has_backup_without_flags
step 'status finds all in place' kube-audit-bootstrap status
step 'a second apply writes nothing' writes_nothing kube-audit-bootstrap apply
