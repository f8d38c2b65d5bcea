SIZE=67108864
NAME=/dev/disk/by-id/audit

# The second sector of a disk after pvcreate, and the first one after cryptsetup luksFormat.
lvm_header() {
    base64 -d <<'END' | gunzip
H4sIAAAAAAACA/NxdHL18fdzZWSAAIszrzoUgLRPmK+RgoGBYU5QpUGGoa9bTqlXQaFhmYFpUUC+SXh6VG5leUWRs3c5UCkLRKcAA14Ak/7Aj6IOAMJP
gI2AAAAA
END
}
luks_header() {
    base64 -d <<'END' | gunzip
H4sIAAAAAAACA/MJ9Q7etY+BiQEMHBiggJmBRFCckWhkaoZbPnRHz5zfnGt+qgdv1BecP6Hl8GyL1VNWCE9KvCWX2l1Uo/xetyiURX/rrAkLd9a6Zh+u
/FVpX/l9Bfuqsqb5pYw6W+uMUg2SE40sDHVTU00tdE0Mk410LQ0Sk3Utkw2NTVMMEk1SUw0YRiB4at9wM84nNODjI/nbrm+yX1kUq7DKMnhvOp192zDy
Zfx9QmECAJbrHTMAAgAA
END
}

blank() { dd if=/dev/zero of="$DEVICE" bs=1M count=$((SIZE >> 20)) conv=fsync status=none; }

configuration() { printf '%s\n' 'apiVersion: kube-audit-bootstrap/v1alpha1' 'kind: AuditBootstrapConfiguration' "$@"; }

# refuses WORDS [FORMAT [DEVICE]]: apply refuses the device with the words, and the device is as it was.
refuses() {
    local device=${3:-$NAME} format=${2-ext4} before after
    before=$(sha256sum <"$device") || return 1
    configure "storage: {device: $device${format:+, format: $format}}"
    says "$1" exits 1 kube-audit-bootstrap apply || return 1
    sync
    after=$(sha256sum <"$device") && is "$after" "$before"
}

refuses_memory() {
    mkdir -p /var/log/kubernetes
    mount -t tmpfs tmpfs /var/log/kubernetes
    configure
    says 'volatile: tmpfs at /var/log/kubernetes, in memory' exits 1 kube-audit-bootstrap apply
}

# Restores the node to what it was before the first run.
restore_all() {
    kube-audit-bootstrap restore "$(kube-audit-bootstrap restore --list | tail -n 1 | cut -d ' ' -f 1)"
}
takes_back_the_last() {
    kube-audit-bootstrap apply && is_mounted /var/log/kubernetes/audit &&
        kube-audit-bootstrap restore && is_not_mounted /var/log/kubernetes/audit
}
