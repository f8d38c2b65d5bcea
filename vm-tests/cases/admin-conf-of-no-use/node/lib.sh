# admin_conf USER [CLUSTER]: writes an admin.conf with these lines of its user and of its cluster.
admin_conf() {
    local ca
    ca=$(sed -n 's/^ *certificate-authority-data: //p' "$(kept admin.conf)") &&
        cat >/etc/kubernetes/admin.conf <<END
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters:
- name: c
  cluster: {server: "https://198.51.100.1:6443", certificate-authority-data: $ca${2:+, $2}}
users:
- name: u
  user: $1
END
}
plugin() { echo "{exec: {apiVersion: client.authentication.k8s.io/v1, command: $1, interactiveMode: Never}}"; }
# Waits as a plugin does that has opened a browser.
plugin_that_waits() {
    printf '%s\n' '#!/bin/sh' 'sleep 1000' >/usr/local/bin/waits && chmod 755 /usr/local/bin/waits &&
        admin_conf "$(plugin /usr/local/bin/waits)"
}
# A user whose certificate was valid on one day long ago.
expired() {
    local dir=/etc/kubernetes/pki
    openssl req -newkey rsa:2048 -nodes -subj /O=kubeadm:cluster-admins/CN=kubernetes-admin \
        -keyout "$WORK/key" -out "$WORK/csr" 2>/dev/null &&
        mkdir -p "$WORK/ca" && : >"$WORK/ca/index" && echo 01 >"$WORK/ca/serial" &&
        printf '%s\n' '[ca]' 'default_ca=c' '[c]' "database=$WORK/ca/index" "serial=$WORK/ca/serial" \
            "new_certs_dir=$WORK/ca" 'default_md=sha256' 'policy=p' '[p]' 'commonName=supplied' \
            'organizationName=supplied' >"$WORK/ca/conf" &&
        openssl ca -batch -config "$WORK/ca/conf" -cert $dir/ca.crt -keyfile $dir/ca.key -in "$WORK/csr" \
            -out "$WORK/crt" -startdate 20200101000000Z -enddate 20200102000000Z -notext 2>/dev/null &&
        admin_conf "{client-certificate: $WORK/crt, client-key: $WORK/key}"
}
