step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'the manifest is kept' keep manifest manifest

mkdir -p $D
step 'a receiver has a certificate' certify $D/client
cp $D/client.crt $D/ca.crt && cp $D/client.crt $D/client.key "$WORK"
# It takes only clients with a certificate, prints what they send, and answers nothing.
openssl s_server -accept 127.0.0.1:9443 -cert "$WORK/client.crt" -key "$WORK/client.key" -Verify 1 -CAfile $D/ca.crt \
    -quiet < <(sleep infinity) >"$WORK/received" 2>"$WORK/receiver" &
configure "webhook: {configFile: $D/webhook.conf}"
cat >$D/webhook.conf <<'END'
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9443/events", certificate-authority: ca.crt}}]
users: [{name: u, user: {client-certificate: client.crt, client-key: /etc/kubernetes/collector/client.key}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
END

mv $D/client.key $D/away
step 'a missing key is refused' \
    says 'client.key, which does not exist' exits 1 kube-audit-bootstrap apply --wait "$LONG"
step 'the manifest is as it was' is_still manifest manifest
mv $D/away $D/client.key

LIMIT=300 step 'apply --wait proves it' kube-audit-bootstrap apply --wait "$LONG"
step 'status finds all in place' kube-audit-bootstrap status
step 'the receiver gets events from a client with the certificate' \
    eventually grep -q '"kind":"EventList"' "$WORK/received"

step 'another certificate replaces the first' certify $D/next
mv $D/next.crt $D/client.crt && mv $D/next.key $D/client.key
step 'the API server sees the other files' is "$(seen)" "$(stat -c %d:%i $D/client.crt $D/client.key)"

rm $D/client.key
step 'status names a file that the API server needs to start' \
    says 'client.key, which does not exist' exits 3 kube-audit-bootstrap status
kill "$(api_pid)"
step 'verify names it, too, when the API server has ended' \
    says 'client.key, which does not exist' exits 1 kube-audit-bootstrap verify --wait 30s
