# Put this into your build block. Put these beside the template: kube-audit-bootstrap.tar.gz (the release), config.yaml, audit-policy.yaml.
provisioner "file" {
  sources     = ["kube-audit-bootstrap.tar.gz", "config.yaml", "audit-policy.yaml"]
  destination = "/tmp/"
}
provisioner "shell" {
  # Run the commands as the root user.
  execute_command = "sudo env {{ .Vars }} {{ .Path }}"
  inline_shebang  = "/bin/sh -e"
  inline = [
    "mkdir /tmp/kube-audit-bootstrap",
    "tar -xzf /tmp/kube-audit-bootstrap.tar.gz -C /tmp/kube-audit-bootstrap --strip-components=1",
    "/tmp/kube-audit-bootstrap/install.sh --root / --hook",
    "install -D -m 0644 /tmp/config.yaml /etc/kube-audit-bootstrap/config.yaml",
    "install -D -m 0600 /tmp/audit-policy.yaml /etc/kube-audit-bootstrap/audit-policy.yaml",
    "rm -r /tmp/kube-audit-bootstrap.tar.gz /tmp/kube-audit-bootstrap /tmp/config.yaml /tmp/audit-policy.yaml",
  ]
}
