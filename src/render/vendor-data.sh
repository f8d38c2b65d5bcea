#!/bin/sh
# Vendor-data for an image that has the program. cloud-init runs this script after the user-data's write_files and
# before its runcmd. If the script fails, cloud-init still runs runcmd; then only the kubeadm hook can stop kubeadm.
set -e
@FILES@kube-audit-bootstrap apply
