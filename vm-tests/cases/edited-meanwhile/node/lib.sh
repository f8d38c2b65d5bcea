# As soon as apply has written the manifest, and the kubelet has taken it, changes another flag.
edit_meanwhile() {
    until grep -q audit-log-path "$MANIFEST"; do sleep 0.2; done
    sleep 3
    edit_manifest 's/^    - --allow-privileged=true$/&\n    - --v=3/; s/--enable-bootstrap-token-auth=true/--enable-bootstrap-token-auth=false/'
}
