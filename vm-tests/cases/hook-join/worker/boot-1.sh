KUBECONFIG=/etc/kubernetes/kubelet.conf
step 'cloud-init succeeded' cloud_init_done
step 'the kubelet has joined' eventually kubectl get node worker
step 'the unit of the boot succeeded' \
    is "$(systemctl show -p Result -p ActiveState --value kube-audit-bootstrap.service | xargs)" 'success active'
step 'nothing was prepared' has_nothing_of_ours
LIMIT=240 step 'kubeadm upgrade node' kubeadm upgrade node --ignore-preflight-errors=all
step 'nothing was prepared' has_nothing_of_ours
step 'apply has nothing to do' kube-audit-bootstrap apply
step 'nothing was prepared' has_nothing_of_ours
# A kubelet has the right to annotate its own node.
step 'the first node is told' eventually kubectl annotate node worker case/done=yes
