"""Runs Prowler's checks of auditing on the manifest of a node: prowler_checks.py ROOT. Exits with 1 if one fails.

Prowler asks a cluster for its pods. Its own tests give a check the pods in a mock of that client, and so does this. The
classes of a check and of a report are stand-ins, too: what is run is the code of each check.
"""

import importlib
import pathlib
import sys
import types
from unittest import mock

import yaml

SERVICE = "prowler.providers.kubernetes.services.apiserver"
CHECKS = [f"apiserver_audit_log_{name}_set" for name in ("path", "maxage", "maxbackup", "maxsize")]


class Check:
    """A check, which does not read its own description."""

    def metadata(self):
        return ""


class Report:
    """What a check finds."""

    def __init__(self, metadata, resource):
        self.resource = resource


def stand_in(name, **contents):
    """A module in the place of one of Prowler's."""
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__dict__.update(contents)


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
    stand_in(f"{SERVICE}.apiserver_client", apiserver_client=client)
    # Without these, a check would import what Prowler has for every cloud: 1.5 GB.
    stand_in("prowler.lib.check.models", Check=Check, Check_Report_Kubernetes=Report)
    for name in CHECKS:
        check = getattr(importlib.import_module(f"{SERVICE}.{name}.{name}"), name)()
        for finding in check.execute():
            failed += finding.status != "PASS"
            print(f"{finding.status} {name}: {finding.status_extended}")
    sys.exit(failed > 0)


main()
