"""Runs Prowler's checks of auditing on the manifest of a node: prowler_checks.py ROOT. Exits with 1 if one fails.

Prowler asks a cluster for its pods. Its own tests give a check the pods in a mock of that client, and so does this.
"""

import importlib
import pathlib
import sys
import types
from unittest import mock

import yaml

SERVICE = "prowler.providers.kubernetes.services.apiserver"
CHECKS = [f"apiserver_audit_log_{name}_set" for name in ("path", "maxage", "maxbackup", "maxsize")]


def main():
    text = (pathlib.Path(sys.argv[1]) / "etc/kubernetes/manifests/kube-apiserver.yaml").read_text()
    pod = yaml.safe_load(text)
    found = pod["spec"]["containers"][0]
    container = types.SimpleNamespace(name=found["name"], image=found["image"], command=found["command"])
    pod = types.SimpleNamespace(
        name="kube-apiserver", uid="1", namespace="kube-system", containers={"kube-apiserver": container}, labels={}
    )
    client = mock.MagicMock(apiserver_pods=[pod], audit_config={})
    failed = 0
    module = types.ModuleType("apiserver_client")
    module.apiserver_client = client
    sys.modules[f"{SERVICE}.apiserver_client"] = module
    from prowler.lib.check import models

    def report(metadata, resource):
        return types.SimpleNamespace(status="", status_extended="", resource=resource)

    with mock.patch.object(models, "Check_Report_Kubernetes", report):
        for name in CHECKS:
            check = getattr(importlib.import_module(f"{SERVICE}.{name}.{name}"), name)()
            for finding in check.execute():
                failed += finding.status != "PASS"
                print(f"{finding.status} {name}: {finding.status_extended}")
    sys.exit(failed > 0)


main()
