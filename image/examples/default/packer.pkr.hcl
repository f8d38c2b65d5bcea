# Put this into your build block. Put these beside the template: kube-audit-bootstrap.tar.gz (the release).
provisioner "file" {
  sources     = ["kube-audit-bootstrap.tar.gz"]
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
    "rm -r /tmp/kube-audit-bootstrap.tar.gz /tmp/kube-audit-bootstrap",
  ]
}
