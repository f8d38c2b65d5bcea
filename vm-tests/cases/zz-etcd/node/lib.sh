etcd_away() {
    until grep -q audit-log-path "$MANIFEST"; do sleep 0.2; done
    sleep 6
    mv /etc/kubernetes/manifests/etcd.yaml /root/etcd.yaml
    sleep 75
    mv /root/etcd.yaml /etc/kubernetes/manifests/etcd.yaml
}
