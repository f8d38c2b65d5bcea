# The policy has a misspelt field.
step 'the unit failed' unit_failed
step 'it says where and what' unit_says 'policy\.yaml:5:3: .*resource'
step 'the API server runs as before' eventually runs_as_before
rm -r /etc/kube-audit-bootstrap
next_boot_is full
