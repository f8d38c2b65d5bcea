step 'the program is put in front of kubeadm' ln -s kube-audit-bootstrap /usr/local/bin/kubeadm
step 'a command that changes nothing is kubeadm'\''s own' is "$(kubeadm version -o short 2>&1)" v@VERSION@
step 'a dry run prepares nothing' init_by_options --dry-run
step 'nothing was written' is_untouched

configure 'policy: {source: /root/policy.yaml}'
printf '%s\n' 'apiVersion: audit.k8s.io/v1' 'kind: Policy' 'rules:' '- level: Metadata' '  verb: [get]' \
    >/root/policy.yaml
for way in 'init --config /root/kubeadm.yaml' init_by_options; do
    step "with a misspelt policy kubeadm isn't started: $way" \
        says 'kubeadm init was not started.*/root/policy.yaml:5:3: .*verbs' exits 1 $way
    step 'nothing was written' is_untouched
done
step 'kubeadm itself refuses options beside a file' \
    says "can not mix '--config'" exits 1 init_by_options --config /root/kubeadm.yaml
step 'nothing was written' is_untouched
rm -r /etc/kube-audit-bootstrap

LIMIT=300 step 'kubeadm init with neither a file nor patches' until_it_may init_by_options
step 'the control plane audits' audits
step 'status finds the manifest in place' says '^manifest +ok' exits 3 kube-audit-bootstrap status
step 'apply edits the cluster'\''s own configuration, which is left to do' kube-audit-bootstrap apply
step 'and then all is in place' kube-audit-bootstrap status
LIMIT=180 step 'kubeadm reset' reset

LIMIT=300 step 'kubeadm init with patches of a user' until_it_may init_by_options --patches /root/patches
step 'the control plane audits' audits
step 'the manifest has the user'\''s patches, too' has_patches_of_user
LIMIT=180 step 'kubeadm reset' reset

step 'the file behind the pipe is kept' keep behind-the-pipe cat /root/kubeadm.yaml
LIMIT=300 step 'kubeadm init with a file from a pipe' init_by_pipe
step 'the control plane audits' audits
step 'the file behind the pipe is as it was' is_still behind-the-pipe cat /root/kubeadm.yaml
step 'the cluster has the settings' kube-audit-bootstrap status
