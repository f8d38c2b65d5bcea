step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'the configuration of the cluster is kept' keep configuration configuration
step 'the manifest is kept' keep manifest manifest

step 'plan shows the edit' says '^\+\+\+ b/kube-system/configmaps/kubeadm-config' exits 3 kube-audit-bootstrap plan
mv /etc/kubernetes/admin.conf /root/
step 'without admin.conf it says what is missing' says 'unknown .*admin.conf' exits 3 kube-audit-bootstrap status
mv /root/admin.conf /etc/kubernetes/
get_in_the_way
LIMIT=300 step 'somebody else writes it meanwhile, and apply tries again' \
    says 'Conflict.*trying again' kube-audit-bootstrap -v apply --wait "$LONG"
step 'it has the 14 settings' has_settings
step 'and has lost nothing' only_adds
step 'what somebody else wrote is there' \
    is "$(kubectl -n kube-system get configmap kubeadm-config -o json | jq -r .metadata.labels.somebody)" else
step 'the previous configuration is backed up' is_backed_up "$(kept configuration)"
step 'apply has nothing to do' writes_nothing kube-audit-bootstrap apply
mv /etc/kubernetes/admin.conf /root/
step 'without admin.conf it warns that lost events are not known' \
    says 'warning: .*how many events the API server has lost: .*admin.conf' kube-audit-bootstrap status
mv /root/admin.conf /etc/kubernetes/

# Without a kubelet the API server stays as it is, whatever becomes of its manifest.
first=$(kube-audit-bootstrap status --output json | jq -er '.backups[-1]')
step 'the edited configuration is kept' keep edited configuration
systemctl stop kubelet
step 'somebody writes a change of it' keep changed change_of "$(kept edited)"
step 'somebody changes the configuration since' put_configuration "$(kept changed)"
step 'restore leaves that, takes only the settings out, and says so' \
    says 'kubeadm-config: something else changed this, too, and that stays' kube-audit-bootstrap restore
step 'what somebody wrote is there' says '^# Somebody else, since.$' configuration
step 'the settings are not' has_no_settings
step 'and the manifest is as it was' is_still manifest manifest
step 'apply edits both again' kube-audit-bootstrap apply
step 'it has the 14 settings' has_settings
step 'what somebody wrote is there' says '^# Somebody else, since.$' configuration
step 'somebody undoes the change' put_configuration "$(kept edited)"

watch_api
step 'restore to what was before the first run' says 'kubeadm-config.*done' kube-audit-bootstrap restore "$first"
systemctl start kubelet
LIMIT=180 step 'another API server answers' eventually another_api_is_ready
step 'it has no audit flags' has_no_flags
step 'the configuration of the cluster is as it was' is_still configuration configuration
