step 'the API server answers' eventually api_is_ready
step 'its pod is ready' eventually api_pod_is_ready
step 'admin.conf is kept' keep admin.conf cat /etc/kubernetes/admin.conf

step 'its plugin waits for ever' plugin_that_waits
LIMIT=300 step 'apply --wait asks the API server in another way' \
    says 'proof .*recorded a request' kube-audit-bootstrap apply --wait "$LONG"
step 'it has the 14 audit flags' has_default_flags
LIMIT=12 step 'status is not kept waiting' kube-audit-bootstrap status
step 'nothing that the program started still waits' exits 1 pgrep -x waits

verify() { LIMIT=12 step "$1: verify proves it all the same" says 'recorded a request' kube-audit-bootstrap verify; }
step 'its plugin is missing' admin_conf "$(plugin /no/such/plugin)"
verify 'a plugin that is missing'
step 'its plugin fails' admin_conf "$(plugin /bin/false)"
verify 'a plugin that fails'
step 'it goes through a proxy' admin_conf '{token: x}' 'proxy-url: "http://192.0.2.1:3128"'
verify 'a proxy'
step 'its certificate has expired' expired
verify 'an expired certificate'
step 'it is no YAML' cp /bin/true /etc/kubernetes/admin.conf
verify 'no YAML'
rm /etc/kubernetes/admin.conf
verify 'none'
LIMIT=12 step 'status needs none either' kube-audit-bootstrap status

# kubectl itself never ends.
mv /usr/bin/kubectl /usr/bin/kubectl.away
ln -s /usr/local/bin/waits /usr/bin/kubectl
LIMIT=60 step 'a kubectl that never ends is not held against it either' \
    says 'recorded what the cluster does.*listens on its port' kube-audit-bootstrap verify
mv /usr/bin/kubectl.away /usr/bin/kubectl
