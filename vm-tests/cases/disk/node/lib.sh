DIRECTORY=/var/log/kubernetes/audit
DISK=/dev/disk/by-id/virtio-audit

lies_on_disk() { is "$(findmnt -no SOURCE,FSTYPE $DIRECTORY | xargs)" "$(readlink -f $DISK) ext4"; }
since() { systemctl show --value -p "$2" "$1"; }
# The disk was mounted before the kubelet started.
mounted_before_kubelet() {
    local mounted started
    mounted=$(since var-log-kubernetes-audit.mount ActiveEnterTimestampMonotonic) &&
        started=$(since kubelet.service ExecMainStartTimestampMonotonic) || return 1
    echo "mounted $mounted, started $started"
    [ "$mounted" -gt 0 ] && [ "$mounted" -lt "$started" ]
}
journal_says_so() {
    journalctl -b --no-pager | grep -E 'Timed out waiting for device .*audit|Dependency failed for kubelet'
}
