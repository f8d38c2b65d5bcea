# /etc is read-only.
step 'the unit failed' unit_failed
step 'it says where and what' unit_says '/etc/kubernetes.*Read-only file system'
step 'the API server runs as before' eventually runs_as_before
next_boot_is no-log
