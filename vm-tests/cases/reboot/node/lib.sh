# What `written` prints of files that outlive a reboot.
written_on_disk() { written | grep -v ^/run/; }
