#!/bin/sh
# Vendor-data for an image that has the program. cloud-init runs it after the user-data's write_files and before its runcmd,
# and runs that after a failure, too: there, the hook in front of kubeadm is what stops kubeadm.
set -e
kube-audit-bootstrap apply
