# docker build -t node-with-audit . && kind create cluster --image node-with-audit
# Put these beside this file: kube-audit-bootstrap@BESIDE@.
# Use the node image that your release of kind names.
ARG NODE_IMAGE=kindest/node:v1.34.0
FROM ${NODE_IMAGE}
COPY kube-audit-bootstrap /usr/bin/
RUN ln -s /usr/bin/kube-audit-bootstrap /usr/local/bin/kubeadm
@FILES@
