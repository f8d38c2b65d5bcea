# Replaces kubectl by a script that changes the object before the first request to replace it, as somebody else may do.
get_in_the_way() {
    mv /usr/bin/kubectl /usr/bin/kubectl.real
    cat >/usr/bin/kubectl <<'END'
#!/bin/sh
case " $* " in *" replace "*)
    [ -e /var/lib/case/was-in-the-way ] ||
        /usr/bin/kubectl.real -n kube-system label configmap kubeadm-config somebody=else >&2
    touch /var/lib/case/was-in-the-way
    ;;
esac
exec /usr/bin/kubectl.real "$@"
END
    chmod 755 /usr/bin/kubectl
}
# configuration: prints the cluster's own configuration. put_configuration FILE: replaces it.
configuration() { kubectl -n kube-system get configmap kubeadm-config -o json | jq -j .data.ClusterConfiguration; }
# change_of FILE: the text of the file with one more line.
change_of() { cat "$1" && echo '# Somebody else, since.'; }
put_configuration() {
    kubectl -n kube-system get configmap kubeadm-config -o json |
        jq --rawfile text "$1" '.data.ClusterConfiguration = $text' | kubectl replace -f - && diff "$1" <(configuration)
}
has_settings() { is "$(configuration | grep -cE 'audit-(log-.|policy-file)')" 14; }
has_no_settings() { is "$(configuration | grep -c audit-)" 0; }
# No line is gone but an empty mapping. kubeadm before 1.31 writes that with a timeout in it.
only_adds() {
    is "$(diff "$(kept configuration)" <(configuration) | grep '^<' | grep -Fxv '< apiServer: {}')" ''
}
