# This is each boot after a cut.
step 'the manifest is the old one or the new one' is_old_or_new
step 'the policy is whole, or not there' policy_is_whole
step 'the API server answers, with the flags of the manifest' eventually runs_what_is_written
step 'apply' kube-audit-bootstrap apply
step 'the manifest is the new one' cmp "$MANIFEST" "$WORK/edited"
step 'status finds all in place' kube-audit-bootstrap status
step 'the API server answers, with the audit flags' eventually runs_what_is_written
step 'events are written' eventually has_events '.stage == "ResponseComplete"'
if [ "$BOOT" -le "$(cat /case/cuts)" ]; then
    step 'restore' kube-audit-bootstrap restore
    step 'the API server answers, without audit flags' eventually runs_what_is_written
    cut_power 20000 back_and_forth
fi
