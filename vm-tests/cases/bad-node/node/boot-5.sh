# /var/log is a link to a disk that isn't there yet.
step 'the unit failed' unit_failed
step 'it says where and what' unit_says '/var/log .*is a symbolic link to nothing'
step 'the API server runs as before' eventually runs_as_before
rm /var/log
mv /var/log.before /var/log
next_boot_is fine
