# A static pod whose name begins as the API server's, and whose container has the same name. It ends again and again.
pod_with_a_like_name() {
    local image
    image=$(sed -n 's/^    image: //p' "$MANIFEST" | head -n 1) &&
        cat >/etc/kubernetes/manifests/.new <<END && mv /etc/kubernetes/manifests/.new /etc/kubernetes/manifests/proxy.yaml
apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver-proxy, namespace: kube-system}
spec:
  hostNetwork: true
  containers:
  - {name: kube-apiserver, image: $image, command: [/usr/local/bin/kube-apiserver, --version]}
END
}
has_ended_twice() { ls /var/log/pods/kube-system_kube-apiserver-proxy-*/kube-apiserver/[1-9].log; }
