# Beside this file: kube-audit-bootstrap/ (the unpacked release).
# To keep backups over a reboot: "install: {bind_mounts: [/var/lib/kube-audit-bootstrap]}" in the cloud-config.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
COPY kube-audit-bootstrap/ /tmp/kube-audit-bootstrap/
RUN /tmp/kube-audit-bootstrap/install.sh --root / && rm -r /tmp/kube-audit-bootstrap
