# in_place FILE PATH: puts a copy of a file, or a link, at a path by one rename, so that the kubelet sees no change.
in_place() { cp -a "$1" "${2%/*}/.case" && mv "${2%/*}/.case" "$2"; }
# second_api_server: another pod of this node runs an API server, too.
second_api_server() {
    sed -e 's/^  name: kube-apiserver$/  name: second-apiserver/' -e 's/6443/7443/g' \
        -e 's,audit/audit.log,audit/second.log,' "$MANIFEST" >"$WORK/second" &&
        in_place "$WORK/second" /etc/kubernetes/manifests/second-apiserver.yaml && eventually second_pid
}
second_pid() { pgrep -f '^kube-apiserver .*--secure-port=7443'; }
# is_hidden_beside_it: the manifest is hidden for a moment, and the other API server goes on running.
is_hidden_beside_it() {
    local pid
    pid=$(second_pid) &&
        says 'the kubelet has finished the previous pod' kube-audit-bootstrap apply --wait "$LONG" && is "$(second_pid)" "$pid"
}
is_alone() { rm -f /etc/kubernetes/manifests/second-apiserver.yaml && eventually api_pid; }
# not_hidden WHY: a run hides nothing, says why, and makes its proof.
not_hidden() {
    says "the new manifest is not hidden: .*$1" kube-audit-bootstrap -v apply --wait "$LONG" &&
        grep -q '^proof .* recorded' "$WORK/said" && has_no_net
}

make_link() {
    mkdir /etc/kubernetes/elsewhere && cp -a "$MANIFEST" /etc/kubernetes/elsewhere/ &&
        ln -s "/etc/kubernetes/elsewhere/${MANIFEST##*/}" "$WORK/link" && in_place "$WORK/link" "$MANIFEST"
}
is_still_a_link() { [ -L "$MANIFEST" ] && cmp "$MANIFEST" "/etc/kubernetes/elsewhere/${MANIFEST##*/}"; }
# bind: another directory is mounted at that of the manifests. The kubelet watches what was there before, and so it
# reads the manifests only every 20 s.
bind() { cp -a /etc/kubernetes/manifests /etc/kubernetes/bound && mount --bind /etc/kubernetes/bound /etc/kubernetes/manifests; }
unbind() { umount /etc/kubernetes/manifests && in_place "/etc/kubernetes/bound/${MANIFEST##*/}" "$MANIFEST"; }
# in_memory: the manifests are on a file system of their own, which the kubelet watches.
in_memory() {
    cp -a /etc/kubernetes/manifests /etc/kubernetes/copy &&
        mount -t tmpfs -o mode=0700 tmpfs /etc/kubernetes/manifests &&
        cp -a /etc/kubernetes/copy/. /etc/kubernetes/manifests/ && systemctl restart kubelet && eventually is_watched
}
is_watched() {
    grep -q "^inotify .*ino:$(printf %x "$(stat -c %i /etc/kubernetes/manifests)") " "/proc/$(pgrep -x kubelet)/fdinfo/"*
}
