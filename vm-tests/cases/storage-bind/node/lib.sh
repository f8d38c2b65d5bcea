DIRECTORY=/var/log/kubernetes/audit

is_bound() { is "$(stat -c %d:%i $DIRECTORY)" "$(stat -c %d:%i /data/audit)" && findmnt $DIRECTORY; }
was_rotated() { compgen -G "$DIRECTORY/audit-*.log.gz"; }
# The group reads all files, as a log shipper does.
group_reads() {
    zcat -f $DIRECTORY/audit-*.gz "$AUDIT_LOG" | wc -l
    setpriv --reuid 65534 --regid 4 --clear-groups sh -c "cat $DIRECTORY/audit*" >/dev/null
}
