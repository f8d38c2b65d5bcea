package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheListIsReadStrictly(t *testing.T) {
	const defaults = "defaults: {audit-log-mode: batch}\n"
	for text, fault := range map[string]string{
		defaults + "cases: {a: {why: b, flags: {audit-log-mode: blocking}}}": "",
		defaults + "cases: {a: {flags: {audit-log-mode: blocking}}}":         "a: say why",
		defaults + "cases: {a: {why: b, flags: {audit-log-mode: batch}}}":    "--audit-log-mode is the default",
		defaults + "cases: {a: {why: b, flag: {audit-log-mode: batch}}}":     "field flag not found",
		defaults + "cases: {a: {why: b}, a: {why: c}}":                       "already set",
		"cases: {}": "no defaults",
	} {
		_, err := readExpected([]byte(text))
		if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Errorf("%s: expected %q, found %v", text, fault, err)
		}
	}
}

// Settings that are not the default. Each row changes both files, and then the edited file.
func TestOtherSettings(t *testing.T) {
	edit := func(flags, mounts, volumes string) string {
		return replace(t, manifest, "    image: reg", flags+"    image: reg", certs, certs+mounts, "status", volumes+"status")
	}
	right := edit(flags, mounts, volumes)
	logMount := mounts[strings.Index(mounts, "    - mountPath: /var"):]
	logVolume := volumes[strings.Index(volumes, "  - hostPath:\n      path: /var"):]
	hook := func(text string) string {
		return replace(t, text, "    image: reg", "    - --audit-webhook-config-file=/etc/kubernetes/hook\n    image: reg",
			certs, certs+"    - mountPath: /etc/kubernetes/hook\n      name: audit-webhook\n      readOnly: true\n",
			"status", "  - hostPath:\n      path: /etc/kubernetes/hook\n      type: File\n    name: audit-webhook\nstatus")
	}
	off := exception{Flags: map[string]string{"audit-log-compress": "false"}}
	stdout := exception{Flags: map[string]string{"audit-log-path": "-"}}
	webhook := exception{Flags: map[string]string{"audit-webhook-config-file": "/etc/kubernetes/hook"}}
	data := exception{Keep: true, Hosts: map[string]string{"/var/log/kubernetes/audit": "/data"}}
	toStdout := replace(t, right, "path=/var/log/kubernetes/audit/audit.log", "path=-", logMount, "", logVolume, "")
	elsewhere := replace(t, edit("", logMount, logVolume), "path: /var/log/kubernetes/audit/", "path: /data")
	elsewhereAfter := replace(t, right, "path: /var/log/kubernetes/audit/", "path: /data")
	// Lines are only added: the log's mount and volume come first.
	reorder := func(text string) string {
		return replace(t, text, mounts, logMount+strings.Replace(mounts, logMount, "", 1),
			strings.Replace(volumes, "path: /var/log/kubernetes/audit/", "path: /data", 1),
			strings.Replace(logVolume, "path: /var/log/kubernetes/audit/", "path: /data", 1)+strings.Replace(volumes, logVolume, "", 1))
	}
	for name, row := range map[string]struct {
		exception            exception
		before, after, fault string
	}{
		"off, and left out":      {off, manifest, replace(t, right, "    - --audit-log-compress\n", ""), ""},
		"off, and set":           {off, manifest, replace(t, right, "compress\n", "compress=false\n"), ""},
		"off, and on":            {off, manifest, right, "--audit-log-compress is \"true\", not \"false\""},
		"off, and no boolean":    {off, manifest, replace(t, right, "compress\n", "compress=no\n"), "--audit-log-compress is \"no\""},
		"standard output":        {stdout, manifest, toStdout, ""},
		"a file all the same":    {stdout, manifest, right, "--audit-log-path is \"/var/log/kubernetes/audit/audit.log\", not \"-\""},
		"a mount for nothing":    {stdout, manifest, replace(t, right, "path=/var/log/kubernetes/audit/audit.log", "path=-"), "an unexpected mount was added"},
		"a webhook":              {webhook, manifest, hook(right), ""},
		"no webhook":             {webhook, manifest, right, "--audit-webhook-config-file is missing"},
		"a webhook not asked":    {exception{}, manifest, hook(right), "the rest of the command line differs"},
		"a webhook not mounted":  {webhook, manifest, replace(t, hook(right), "    - mountPath: /etc/kubernetes/hook\n      name: audit-webhook\n      readOnly: true\n", ""), "/etc/kubernetes/hook is not mounted"},
		"kept elsewhere":         {data, elsewhere, reorder(elsewhereAfter), ""},
		"elsewhere, not kept":    {exception{}, elsewhere, reorder(elsewhereAfter), "is not /var/log/kubernetes/audit of the host"},
		"kept, but made another": {data, elsewhere, replace(t, reorder(elsewhereAfter), "readOnly: false", "readOnly: no"), "a line was changed, but every line must stay"},
	} {
		t.Run(name, func(t *testing.T) {
			all := ownList(t)
			all.Cases = map[string]exception{"x": row.exception}
			expectBy(t, all.of("x"), "manifest", row.before, row.after, row.fault)
		})
	}
}

// If only the policy changes, the pod must change, too, and only then.
func TestMark(t *testing.T) {
	right := replace(t, manifest,
		"    image: reg", flags+"    image: reg", certs, certs+mounts, "status", volumes+"status")
	marked := func(text, mark string) string {
		return replace(t, text, "  name: kube-apiserver\nspec", "  name: kube-apiserver\n  annotations:\n    kube-audit-bootstrap/policy: "+mark+"\nspec")
	}
	const still, differs = "the policy changes and the pod does not", "the pod differs at .metadata.annotations"
	for name, row := range map[string]struct {
		replaced             bool
		before, after, fault string
	}{
		"marked":                  {true, right, marked(right, "p1"), ""},
		"marked anew":             {true, marked(right, "p1"), replace(t, marked(right, "p1"), "p1", "p2"), ""},
		"not marked":              {true, right, right, still},
		"not marked anew":         {true, marked(right, "p1"), marked(right, "p1"), still},
		"a mark that is no text":  {true, right, marked(right, "1"), still},
		"the pod changes":         {true, manifest, right, ""},
		"the pod changes, marked": {false, manifest, marked(right, "p1"), ""},
		"marked by a number":      {false, manifest, marked(right, "1"), "the mark is no text"},
		"marked for nothing":      {false, right, marked(right, "p1"), differs},
	} {
		t.Run(name, func(t *testing.T) {
			want := ownList(t).of("")
			want.policyReplaced = row.replaced
			expectBy(t, want, "manifest", row.before, row.after, row.fault)
		})
	}
}

const place = "etc/kubernetes/manifests/kube-apiserver.yaml"

// A right case, and changes that make it wrong. Each row writes files of the case, or removes them if the text is "".
func TestCases(t *testing.T) {
	right := replace(t, manifest,
		"    image: reg", flags+"    image: reg", certs, certs+mounts, "status", volumes+"status")
	stray := "before/etc/kubernetes/manifests/stray.bak"
	for name, row := range map[string]struct {
		files map[string]string
		fault string
	}{
		"right":             {nil, ""},
		"a flag less":       {map[string]string{"after/" + place: replace(t, right, "    - --audit-log-maxage=30\n", "")}, "--audit-log-maxage is missing"},
		"another wait":      {map[string]string{"after/" + place: replace(t, right, "max-wait=1s", "max-wait=5s")}, "--audit-log-batch-max-wait is \"5s\""},
		"a flag more":       {map[string]string{"after/" + place: replace(t, right, "    - --audit-log-mode", "    - --v=9\n    - --audit-log-mode")}, "the rest of the command line differs"},
		"a foreign line":    {map[string]string{"after/" + place: replace(t, right, "status: {}", "  priority: 1\nstatus: {}")}, "the pod differs at .spec.priority"},
		"a volume less":     {map[string]string{"after/" + place: replace(t, right, volumes[strings.Index(volumes, "  - hostPath:\n      path: /var"):], "")}, "has no volume: audit-log"},
		"no edit":           {map[string]string{"after/" + place: "", "modes": ""}, "--audit-log-path is missing"},
		"nothing to edit":   {map[string]string{"after/" + place: "", "modes": "", "before/" + place: right}, ""},
		"a copy":            {map[string]string{stray: manifest}, "stray.bak: --audit-log-path is missing"},
		"a copy, edited":    {map[string]string{stray: manifest, "after" + stray[6:]: right, "modes": "0600 /" + place + "\n0600 " + stray[6:]}, ""},
		"no modes":          {map[string]string{"modes": ""}, "is in after/ and not in modes"},
		"no after":          {map[string]string{"after/" + place: ""}, "is in modes and not in after/"},
		"no before":         {map[string]string{"before/" + place: "", "before/etc/x": "x"}, "was created; a manifest must only be edited"},
		"an unknown file":   {map[string]string{"before/etc/x": "x", "after/etc/x": "y", "modes": "0600 /" + place + "\n0600 /etc/x"}, "/etc/x was edited, but the judge does not know this kind of file"},
		"another's policy":  {map[string]string{"before/etc/kubernetes/audit-policy.yaml": "x", "after/etc/kubernetes/audit-policy.yaml": "y", "modes": "0600 /" + place + "\n0600 /etc/kubernetes/audit-policy.yaml"}, ""},
		"the policy alone":  {map[string]string{"before/" + place: right, "before/etc/kubernetes/audit-policy.yaml": "x", "after/etc/kubernetes/audit-policy.yaml": "y", "modes": "0600 /" + place + "\n0600 /etc/kubernetes/audit-policy.yaml"}, "the policy changes and the pod does not"},
		"a policy's mode":   {map[string]string{"before/" + place: right, "before/etc/kubernetes/audit-policy.yaml": "x", "after/etc/kubernetes/audit-policy.yaml": "x", "modes": "0600 /" + place + "\n0600 /etc/kubernetes/audit-policy.yaml"}, ""},
		"one that is cut":   {map[string]string{"before/" + place: manifest[:len(manifest)-2], "after/" + place: right}, "the original file cannot be read"},
		"a cut file more":   {map[string]string{"before/run/kubeadm.yaml": "apiVersion: kubeadm.k8s.io/v1beta3\na: {"}, "/run/kubeadm.yaml: the original file cannot be read"},
		"refused":           {map[string]string{"plan.txt": "error: x\n--- exit 1\n"}, "plan ends with exit code 1"},
		"no end":            {map[string]string{"plan.txt": "done\n"}, "does not end with an exit code"},
		"no plan":           {map[string]string{"plan.txt": ""}, "plan.txt: no such file"},
		"nothing but after": {map[string]string{"before/" + place: ""}, "before: no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			expectCase(t, "x", ownList(t), row.fault, map[string]string{
				"before/" + place: manifest, "after/" + place: right, "modes": "0600 /" + place + "\n0700 /var/log/\ngone /a\n",
				"plan.txt": "--- exit 3\n",
			}, row.files)
		})
	}
}

func TestKindsOfFiles(t *testing.T) {
	pod := func(command string) string { return "spec: {containers: [{command: [" + command + "]}]}" }
	for text, kind := range map[string]string{
		cluster: "kubeadm", "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n": "kubeadm",
		"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n": "", "": "", "words": "",
		manifest: "manifest", pod("kube-apiserver"): "manifest", pod("sh, -c, exec kube-apiserver --v=2"): "manifest",
		pod("sh, -c, pgrep kube-apiserver && exec /agent"): "", pod("etcd"): "",
		"a: {": "", "a: { # kube-apiserver": "manifest", "a: { # kubeadm.k8s.io/v1": "kubeadm",
	} {
		if found := kindOfText(text); found != kind {
			t.Errorf("%q is %q, not %q", text, found, kind)
		}
	}
}

// The rules of the list for a case.
func TestListedCases(t *testing.T) {
	all := ownList(t)
	all.Cases = map[string]exception{
		"left":    {Unedited: map[string]string{"/" + place: "so"}},
		"refused": {Refused: "so"},
	}
	plain := map[string]string{"before/" + place: manifest, "plan.txt": "--- exit 0\n"}
	refused := map[string]string{"plan.txt": "--- exit 1\n"}
	edit := map[string]string{"after/" + place: manifest + "a: b\n", "modes": "0600 /" + place}
	for _, row := range []struct {
		name  string
		files map[string]string
		fault string
	}{
		{"left", nil, ""},
		{"left", edit, "is not a file that stays unedited"},
		{"left", map[string]string{"before/" + place: "a: b\n"}, "is not a file that stays unedited"},
		{"left", map[string]string{"before/" + place: "", "before/x": "x"}, "which does not exist"},
		{"other", nil, "--audit-log-path is missing"},
		{"refused", refused, ""},
		{"refused-x", refused, ""},
		{"refused-x", map[string]string{"plan.txt": "--- exit 2\n"}, ""},
		{"refused-x", nil, "plan ends with exit code 0"},
		{"refused", map[string]string{"plan.txt": "--- exit 2\n", "after/x": "x"}, "a refused run changes nothing"},
		{"other", refused, "plan ends with exit code 1"},
	} {
		expectCase(t, row.name, all, row.fault, plain, row.files)
	}
	folder := t.TempDir()
	all.Cases = nil
	if cases(folder, all) {
		t.Error("an empty folder is right")
	}
	writeCase(t, filepath.Join(folder, "refused-x"), plain, refused)
	if !cases(folder, all) {
		t.Error("a right case is wrong")
	}
	all.Cases = map[string]exception{"gone": {Why: "so"}}
	if cases(folder, all) {
		t.Error("a case that is listed and not there is right")
	}
}

// expectCase judges a case in which some files are replaced.
func expectCase(t *testing.T, name string, all expected, fault string, files, others map[string]string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), name)
	writeCase(t, folder, files, others)
	faults := strings.Join(judgeCase(folder, all, &counts{}), "; ")
	if fault == "" && faults != "" || !strings.Contains(faults, fault) {
		t.Errorf("%s: expected %q, found %q", name, fault, faults)
	}
}

func writeCase(t *testing.T, folder string, all ...map[string]string) {
	t.Helper()
	for _, files := range all {
		for name, text := range files {
			file := filepath.Join(folder, name)
			if text == "" {
				for at := file; at != folder && os.Remove(at) == nil; at = filepath.Dir(at) {
				}
				continue
			}
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A program that edits nothing fails for every shape.
func TestShapes(t *testing.T) {
	folder := t.TempDir()
	for _, version := range []string{"v1beta3", "v1beta4"} {
		writeCase(t, filepath.Join(folder, version), map[string]string{"a.yaml": cluster})
	}
	if shapes("true", folder, ownList(t).of("")) {
		t.Error("shapes that nobody edited are right")
	}
	if shapes("true", t.TempDir(), ownList(t).of("")) {
		t.Error("no shapes are right")
	}
}
