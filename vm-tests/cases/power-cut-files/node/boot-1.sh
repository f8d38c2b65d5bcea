step 'kubeadm makes a manifest' kubeadm_makes_a_manifest
remember old
step 'apply' kube-audit-bootstrap apply
step 'every file is another one' none_is old
remember new
step 'restore' kube-audit-bootstrap restore
step 'every file is the old one' all_are old
note old
cut_power 4000 back_and_forth
