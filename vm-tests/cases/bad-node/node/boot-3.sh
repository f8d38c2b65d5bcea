# The disk of the policy and the manifest is full.
step 'the unit failed' unit_failed
step 'it says where and what' unit_says '/etc/kubernetes/.*No space left'
step 'the API server runs as before' eventually runs_as_before
step 'no half-written file is left' finds_nothing /etc/kubernetes -newer /run/full/.filler ! -type d
next_boot_is read-only
