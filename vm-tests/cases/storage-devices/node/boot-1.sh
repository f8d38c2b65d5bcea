DEVICE=$(new_device "$NAME" $SIZE) || { tell 'FAILED there is no free loop device'; exit 1; }
touch "$WORK/file" && ln -sfn "$WORK/file" "${NAME%/*}/file"
# With this file the node is about to get an API server, so apply prepares a log.
install -D -m 644 /case/kubeadm.yaml /etc/kubernetes/kubeadm.yaml

mkfs.ext4 -q "$DEVICE"
step 'apply refuses a file system of another kind' refuses 'there is ext4' xfs
step 'and one of the same kind, which is not ours' refuses 'ext4 with the label ""'
mkswap -q "$DEVICE"
step 'swap space' refuses 'there is swap'
blank
printf 'label: gpt\n,8M\n' | sfdisk --quiet --no-reread --no-tell-kernel "$DEVICE"
step 'a partition table' refuses 'there is gpt'
dd if=/dev/zero of="$DEVICE" bs=1M count=1 conv=fsync status=none
step 'its copy at the end of the disk, without the table at the start' refuses 'there is gpt'
blank
lvm_header | dd of="$DEVICE" bs=512 seek=1 conv=notrunc,fsync status=none
step 'a volume of LVM' refuses 'there is LVM2_member'
blank
luks_header | dd of="$DEVICE" conv=notrunc,fsync status=none
step 'an encrypted volume' refuses 'there is crypto_LUKS'
blank
echo x | dd of="$DEVICE" bs=1 seek=70000 conv=notrunc,fsync status=none
step 'data that no program knows' refuses 'something at byte 70000'
blank
echo x | dd of="$DEVICE" bs=1 seek=$((SIZE - 10)) conv=notrunc,fsync status=none
step 'even at the very end' refuses "something at byte $((SIZE - 10))"
blank
mkfs.ext4 -q -E offset=1048576 "$DEVICE" 40M
step 'the file system of a first partition, whose table is gone' refuses 'something at byte'
blank
inner=$(loop_on "$DEVICE")
step 'a device that another device is made of' refuses 'a loop device is made of it'
give_back "$inner"
step 'a device to format, by a name that may change' says 'may mean another disk' \
    exits 2 kube-audit-bootstrap --config <(configuration "storage: {device: $DEVICE, format: ext4}") apply
step 'a device that is not there' says 'does not exist' \
    exits 1 kube-audit-bootstrap --config <(configuration 'storage: {device: /dev/disk/by-id/none}') apply
step 'a blank device without a format' refuses 'it is blank' ''
step 'a file' refuses 'is no block device' ext4 /dev/disk/by-id/file
step 'nothing was written' \
    test ! -e /etc/kubernetes/audit-policy.yaml -a ! -e /etc/systemd/system/var-log-kubernetes-audit.mount

step 'apply refuses a log in memory' refuses_memory
step 'unless the configuration allows it' says 'will be lost at a reboot' \
    exits 3 kube-audit-bootstrap --config <(configuration 'storage: {require: any}') plan
umount /var/log/kubernetes

mkdir -p /var/log/kubernetes/audit
echo before >/var/log/kubernetes/audit/audit-2026-11-26T11-00-00.000.log
configure "storage: {device: $NAME, format: ext4}"
step 'apply refuses a log that has no room on the disk' \
    says 'may come to 1.0 GiB, and the file system has 59.5 MiB' exits 1 kube-audit-bootstrap apply
configure "storage: {device: $NAME, format: ext4}" 'log: {maxSize: 5, maxBackup: 8}'
step 'apply formats and mounts a blank device' \
    says 'format /dev/disk/by-id/audit, which is blank, as ext4: done' kube-audit-bootstrap apply
step 'the log is on it' is "$(findmnt -no SOURCE,FSTYPE /var/log/kubernetes/audit | xargs)" "$DEVICE ext4"
step 'the earlier file has moved there' \
    is "$(cat /var/log/kubernetes/audit/audit-2026-11-26T11-00-00.000.log)" before
step 'nothing is left where it was' test ! -e /var/log/kubernetes/audit.before-mount
step 'only root may enter the directory' is "$(stat -c '%a %u:%g' /var/log/kubernetes/audit)" '700 0:0'
step 'status finds all in place' says 'ext4 at /var/log/kubernetes/audit on loop' kube-audit-bootstrap status
step 'a second apply has nothing to do' says 'nothing to do' kube-audit-bootstrap apply
step 'systemd finds no fault in the mount unit' units_are_right /etc/systemd/system/var-log-kubernetes-audit.mount
before=$(findmnt -no UUID /var/log/kubernetes/audit)
step 'the file system has a UUID' test -n "$before"
systemctl stop var-log-kubernetes-audit.mount
step 'it is mounted again, and not formatted' kube-audit-bootstrap apply
step 'it is the same file system' is "$(findmnt -no UUID /var/log/kubernetes/audit)" "$before"
chmod 755 /var/log/kubernetes/audit
step 'status finds what others changed' says 'was mode 0755' exits 3 kube-audit-bootstrap status
step 'apply mends that' kube-audit-bootstrap apply
mount -t tmpfs tmpfs /var/log/kubernetes/audit
step 'status reports another mount over it' says 'but storage names another disk' exits 3 kube-audit-bootstrap status
step 'apply refuses that' says 'but storage names another disk' exits 1 kube-audit-bootstrap apply
umount /var/log/kubernetes/audit
step 'restore unmounts it' restore_all
step 'nothing is mounted' is_not_mounted /var/log/kubernetes/audit
step 'no unit is left that would mount it' test ! -e /etc/systemd/system/var-log-kubernetes-audit.mount \
    -a ! -e /etc/systemd/system/kubelet.service.d/20-audit-log.conf

step 'a restore without an ID undoes the last apply' takes_back_the_last
