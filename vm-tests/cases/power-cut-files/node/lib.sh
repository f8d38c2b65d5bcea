# The files that apply edits, and those that it makes.
EDITED=(/etc/kubernetes/kubeadm-config.yaml "$MANIFEST")
MADE=(/etc/kubernetes/audit-policy.yaml)

kubeadm_makes_a_manifest() {
    install -m 600 /case/kubeadm-config.yaml /etc/kubernetes/kubeadm-config.yaml
    kubeadm init phase control-plane apiserver --config /etc/kubernetes/kubeadm-config.yaml
}

# remember old|new: keeps the files as they are now under that name.
remember() {
    local file
    mkdir -p "$WORK/$1"
    for file in "${EDITED[@]}" "${MADE[@]}"; do
        [ ! -e "$file" ] || cp -a "$file" "$WORK/$1/"
    done
}

# same old|new FILE: the file has the content and mode that were kept, or is missing as it was.
same() {
    local kept=$WORK/$1/${2##*/}
    [ -e "$kept" ] || { [ ! -e "$2" ]; return; }
    cmp -s "$kept" "$2" && [ "$(stat -c '%a %u:%g' "$kept")" = "$(stat -c '%a %u:%g' "$2")" ]
}
all_are() {
    local file
    for file in "${EDITED[@]}" "${MADE[@]}"; do same "$1" "$file" || { echo "$file is not $1"; return 1; }; done
}
none_is() {
    local file
    for file in "${EDITED[@]}" "${MADE[@]}"; do ! same "$1" "$file" || { echo "$file is $1"; return 1; }; done
}
each_is_old_or_new() {
    local file found=()
    for file in "${EDITED[@]}" "${MADE[@]}"; do
        if same new "$file"; then found+=(new); elif same old "$file"; then found+=(old); else
            ls -l "$file"
            diff "$WORK/old/${file##*/}" "$file"
            return 1
        fi
    done
    tell "FOUND ${found[*]}"
    echo "${found[*]}" >>"$WORK/found"
}

# The folder of manifests has one. The kubelet runs any file there whose name doesn't begin with a dot.
manifests_are_one() { is "$(find "${MANIFEST%/*}" -mindepth 1 ! -name '.*' | xargs)" "$MANIFEST"; }
nothing_lies_about() { finds_nothing /etc/kubernetes /var/lib/kube-audit-bootstrap -name '.*' ! -name .lock; }

# The disk that has the notes of what was done. Flushing that disk does nothing for the files.
notes() {
    local serial
    for serial in /sys/block/vd*/serial; do
        [ "$(cat "$serial")" != audit ] || { serial=${serial%/serial} && echo "/dev/${serial##*/}"; return; }
    done
    return 1
}
# note WORD: notes what is done, through all caches.
note() { printf '%-511s\n' "$1" | dd of="$(notes)" bs=512 iflag=fullblock oflag=direct,dsync status=none; }
is_as_noted() {
    local noted
    noted=$(head -n 1 "$(notes)" | xargs) && tell "NOTED $noted" || return 1
    case $noted in old | new) all_are "$noted" ;; between) ;; *) return 1 ;; esac
}

# The pauses let the power be cut while neither apply nor restore runs.
back_and_forth() {
    note between && kube-audit-bootstrap apply && note new && sleep 0.2 &&
        note between && kube-audit-bootstrap restore && note old && sleep 0.2
}
