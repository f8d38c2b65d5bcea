# This is each boot after a cut.
step 'every file is the old one or the new one' each_is_old_or_new
step 'the files are as the last run said' is_as_noted
step 'the kubelet would run one manifest' manifests_are_one
step 'apply' kube-audit-bootstrap apply
step 'every file is the new one' all_are new
step 'status finds all in place' kube-audit-bootstrap status
step 'nothing is left of a run that was cut off' nothing_lies_about
step 'restore' kube-audit-bootstrap restore
step 'every file is the old one again' all_are old
cuts=$(cat /case/cuts)
note old
[ "$BOOT" -gt "$cuts" ] || cut_power 4000 back_and_forth
# So many cuts can't all have come before the files were written, or all after that.
[ "$cuts" -lt 10 ] || step 'the cuts left different things' test "$(sort -u "$WORK/found" | wc -l)" -gt 1
