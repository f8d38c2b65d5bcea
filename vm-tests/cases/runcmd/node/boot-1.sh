step 'cloud-init succeeded' cloud_init_done
step 'the API server answers' eventually api_is_ready
step 'it has the configuration'\''s flag' has_flag --audit-log-maxage=7
step 'and the policy' cmp "$SOURCE" /etc/kubernetes/audit-policy.yaml
step 'events of writes have their bodies' \
    eventually has_events '.level == "Request" and .verb == "create" and .requestObject'
step 'there are events of reads' eventually has_events '.verb == "get"'
step 'which have no bodies' has_no_events '.verb == "get" and .level != "Metadata"'
step 'status finds all in place' kube-audit-bootstrap status
for file in /etc/kube-audit-bootstrap/config.yaml "$SOURCE"; do
    step "render prints user-data that writes $file" cmp "$file" <(rendered "$file")
done
step 'render prints user-data' keep user-data kube-audit-bootstrap render cloud-init
step 'cloud-init calls it valid' says 'Valid' cloud-init schema --config-file "$(kept user-data)"
