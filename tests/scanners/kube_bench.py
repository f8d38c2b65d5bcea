"""Evaluates kube-bench's checks of auditing on the files of a node: kube_bench.py ROOT DIR.

DIR has kube-bench's own folders cfg/cis-*, with master.yaml and controlplane.yaml. Of these, the checks count that name an
audit flag, and those of the manifest's mode and owner. Prints one line for each, and exits with 1 if one fails. A check that
kube-bench leaves to a person is printed as "manual".
"""

import pathlib
import re
import subprocess
import sys

import yaml

MANIFEST = "etc/kubernetes/manifests/kube-apiserver.yaml"


def processes(root):
    """What `ps -ef | grep kube-apiserver` prints of the API server that the kubelet starts from the manifest."""
    pod = yaml.safe_load((root / MANIFEST).read_text())
    words = pod["spec"]["containers"][0]["command"]
    return "root 1 0 0 10:00 ? 00:00:01 " + " ".join(words) + "\n"


def output(check, root):
    """What the check looks at. It is a line of shell: of processes, or about a file."""
    command = check["audit"].strip()
    if command.startswith("/bin/ps -ef | grep $apiserverbin"):
        return processes(root)
    command = command.replace("$apiserverconf", str(root / MANIFEST))
    assert "$" not in command, command
    return subprocess.run(command, shell=True, check=True, text=True, capture_output=True).stdout


def value_of(flag, text):
    """The value of a flag as kube-bench finds it in a text, or None."""
    if re.fullmatch("[a-z]+:[a-z]+", flag):
        return flag if flag in text else None
    found = re.search(r"(?:^|\s)" + re.escape(flag) + r"(?:=|: *|\s|$)(\S*)", text)
    return found and found.group(1)


def compares(compare, value):
    wanted, op = str(compare["value"]), compare["op"]
    if op == "bitmask":
        return int(value, 8) & int(wanted, 8) == int(value, 8)
    numbers = {"gt": lambda a, b: a > b, "gte": lambda a, b: a >= b, "lt": lambda a, b: a < b, "lte": lambda a, b: a <= b}
    if op in numbers:
        return numbers[op](int(value), int(wanted))
    return {"eq": value == wanted, "noteq": value != wanted}[op]


def passes(item, text):
    value = value_of(item["flag"], text)
    if not item.get("set", True):
        return value is None
    return value is not None and ("compare" not in item or compares(item["compare"], value))


def result(check, root):
    if check.get("type") == "manual" or "tests" not in check:
        return "manual"
    results = [passes(item, output(check, root)) for item in check["tests"]["test_items"]]
    both = any if check["tests"].get("bin_op") == "or" else all
    return "pass" if both(results) else "FAIL"


def is_ours(check):
    flags = [item["flag"] for item in (check.get("tests") or {}).get("test_items", [])]
    is_flag = any(flag.startswith("--audit-") for flag in flags)
    return is_flag or check["id"] in ("1.1.1", "1.1.2") or "audit policy" in check["text"]


def main():
    root, folder = map(pathlib.Path, sys.argv[1:])
    failed, seen = 0, 0
    for file in sorted(folder.glob("cis-*/*.yaml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for check in filter(is_ours, group["checks"]):
                found = result(check, root)
                failed, seen = failed + (found == "FAIL"), seen + (found != "manual")
                print(f"{found:6} {file.parent.name} {check['id']}: {check['text']}")
    assert seen, f"{folder}: no check of kube-bench is there"
    print(f"{seen - failed} of {seen} checks pass")
    sys.exit(failed > 0)


main()
