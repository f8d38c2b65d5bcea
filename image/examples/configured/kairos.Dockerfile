# Put these beside this file: kube-audit-bootstrap/ (the unpacked release), config.yaml, audit-policy.yaml.
# To keep the backups after a reboot, write this into the cloud-config:
# install: {bind_mounts: [/var/lib/kube-audit-bootstrap]}
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY kube-audit-bootstrap/ /tmp/kube-audit-bootstrap/
RUN /tmp/kube-audit-bootstrap/install.sh --root / && rm -r /tmp/kube-audit-bootstrap
COPY ["config.yaml", "/etc/kube-audit-bootstrap/config.yaml"]
COPY ["audit-policy.yaml", "/etc/kube-audit-bootstrap/audit-policy.yaml"]
