package main

import (
	"strings"
	"testing"
)

const manifest = `# the API server of node a
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --authorization-mode=Node,RBAC   # both
    image: registry.k8s.io/kube-apiserver:v1.34.1
    name: kube-apiserver
    volumeMounts:
    - mountPath: /etc/kubernetes/pki
      name: k8s-certs
      readOnly: true
  - command: &sleep [sleep, "10"]
    name: other
  volumes:
  - hostPath:
      path: /etc/kubernetes/pki
      type: DirectoryOrCreate
    name: k8s-certs
status: {}
`

const flags = `    - --audit-policy-file=/etc/kubernetes/audit-policy.yaml
    - --audit-log-path=/var/log/kubernetes/audit/audit.log
    - --audit-log-batch-max-size=5
    - --audit-log-batch-max-wait=1s
    - --audit-log-compress
    - --audit-log-format=json
    - --audit-log-maxage=30
    - --audit-log-maxbackup=100
    - --audit-log-maxsize=50
    - --audit-log-mode=batch
    - --audit-log-truncate-enabled=true
    - --audit-log-truncate-max-batch-size=10485760
    - --audit-log-truncate-max-event-size=102400
    - --audit-log-version=audit.k8s.io/v1
`

const mounts = `    - mountPath: /etc/kubernetes/audit-policy.yaml
      name: audit
      readOnly: true
    - mountPath: /var/log/kubernetes/audit/
      name: audit-log
      readOnly: false
`

const volumes = `  - hostPath:
      path: /etc/kubernetes/audit-policy.yaml
      type: File
    name: audit
  - hostPath:
      path: /var/log/kubernetes/audit/
      type: DirectoryOrCreate
    name: audit-log
`

const cluster = `---
apiVersion: kubeadm.k8s.io/v1beta3
kind: InitConfiguration
---
# the cluster
apiVersion: kubeadm.k8s.io/v1beta3
kind: ClusterConfiguration
kubernetesVersion: 1.30   # a number
apiServer:
  extraArgs:
    authorization-mode: 'Node,RBAC'
  extraVolumes: []   # none
networking: {}
`

const mapFlags = `    audit-policy-file: /etc/kubernetes/audit-policy.yaml
    audit-log-path: /var/log/kubernetes/audit/audit.log
    audit-log-batch-max-size: "5"
    audit-log-batch-max-wait: "1s"
    audit-log-compress: "true"
    audit-log-format: json
    audit-log-maxage: "30"
    audit-log-maxbackup: "100"
    audit-log-maxsize: "50"
    audit-log-mode: batch
    audit-log-truncate-enabled: "true"
    audit-log-truncate-max-batch-size: "10485760"
    audit-log-truncate-max-event-size: "102400"
    audit-log-version: audit.k8s.io/v1
`

const extraVolumes = `  - name: audit
    hostPath: /etc/kubernetes/audit-policy.yaml
    mountPath: /etc/kubernetes/audit-policy.yaml
    readOnly: true
    pathType: File
  - name: audit-log
    hostPath: /var/log/kubernetes/audit
    mountPath: /var/log/kubernetes/audit
    pathType: DirectoryOrCreate
`

// listFlags is mapFlags in the form of v1beta4.
func listFlags() string {
	var all strings.Builder
	for _, line := range strings.Split(strings.TrimSpace(mapFlags), "\n") {
		parts := strings.SplitN(strings.TrimSpace(line), ": ", 2)
		all.WriteString("  - name: " + parts[0] + "\n    value: " + parts[1] + "\n")
	}
	return all.String()
}

func replace(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%q is not in the text", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

const certs = "      name: k8s-certs\n      readOnly: true\n"

func ownList(t *testing.T) expected {
	t.Helper()
	all, err := readExpected(expectedText)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func expect(t *testing.T, kind, before, after, fault string) {
	t.Helper()
	expectBy(t, ownList(t).of(""), kind, before, after, fault)
}

func expectBy(t *testing.T, want expectation, kind, before, after, fault string) {
	t.Helper()
	faults := strings.Join(judge(kind, before, after, want).faults, "; ")
	if fault == "" && faults != "" || !strings.Contains(faults, fault) {
		t.Errorf("expected %q, found %q", fault, faults)
	}
}

// A right edit of the manifest, and changes that make it wrong. Each row changes the edited file.
func TestManifest(t *testing.T) {
	right := replace(t, manifest,
		"    image: reg", flags+"    image: reg", certs, certs+mounts, "status", volumes+"status")
	expect(t, "manifest", manifest, right, "")
	expect(t, "manifest", right, right, "")
	expect(t, "manifest", manifest, manifest, "--audit-log-path is missing")
	crlf := func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }
	expect(t, "manifest", crlf(manifest), crlf(right), "")
	expect(t, "manifest", crlf(manifest), replace(t, crlf(right), "json\r", "json"), "line endings")
	expect(t, "manifest", manifest, crlf(right), "line endings")
	expect(t, "manifest", byteOrderMark+manifest, byteOrderMark+right, "")
	expect(t, "manifest", byteOrderMark+manifest, right, "byte order mark")
	expect(t, "manifest", strings.TrimSuffix(manifest, "\n"), right, "")

	for name, row := range map[string]struct {
		pairs []string
		fault string
	}{
		"underscores and two items": {[]string{"--audit-log-maxage=30", "--audit_log_maxage\n    - \"30\""}, ""},
		"the last one wins":         {[]string{"    - --audit-log-maxage=30", "    - --audit-log-maxage=7\n    - --audit-log-maxage=30"}, ""},
		"the last one loses":        {[]string{"    - --audit-log-maxage=30", "    - --audit-log-maxage=30\n    - --audit_log_maxage=7"}, "--audit-log-maxage is \"7\""},
		"no wait":                   {[]string{"    - --audit-log-batch-max-wait=1s\n", ""}, "--audit-log-batch-max-wait is missing"},
		"another wait":              {[]string{"max-wait=1s", "max-wait=2s"}, "--audit-log-batch-max-wait is \"2s\", not \"1s\""},
		"false":                     {[]string{"audit-log-compress", "audit-log-compress=false"}, "--audit-log-compress is"},
		"wrong value":               {[]string{"maxsize=50", "maxsize=100"}, "--audit-log-maxsize is \"100\""},
		"a flag of another's lost":  {[]string{"    - --authorization-mode=Node,RBAC   # both\n", ""}, "the rest of the command line differs"},
		"a flag too many":           {[]string{"    - --audit-log-compress\n", "    - --audit-log-compress\n    - --audit-log-batch-buffer-size=5\n"}, "the rest of the command line differs"},
		"after a double dash":       {[]string{"    - --audit-policy", "    - --\n    - --audit-policy"}, "--audit-policy-file is missing"},
		"the image":                 {[]string{"v1.34.1", "v1.34.2"}, "the pod differs at .spec.containers[0].image"},
		"the other container":       {[]string{"[sleep, \"10\"]", "[sleep, 10]"}, "the pod differs at .spec.containers[1].command[1]"},
		"a number":                  {[]string{"  name: kube-apiserver\nspec", "  name: kube-apiserver\n  generation: 1\nspec"}, "the pod differs at .metadata.generation"},
		"the policy writable":       {[]string{"      name: audit\n      readOnly: true", "      name: audit"}, "an unexpected mount was added"},
		"the log read-only":         {[]string{"readOnly: false", "readOnly: true"}, "/var/log/kubernetes/audit is mounted read-only"},
		"the wrong host path":       {[]string{"path: /var/log/kubernetes/audit/\n      type", "path: /var/log/kubernetes\n      type"}, "is not /var/log/kubernetes/audit of the host"},
		"the wrong type":            {[]string{"type: File", "type: FileOrCreate"}, "an unexpected volume was added"},
		"no volume":                 {[]string{"    name: audit-log\nstatus", "    name: audit-log2\nstatus"}, "has no volume: audit-log"},
		"a volume's name twice":     {[]string{"    name: audit-log\nstatus", "    name: audit\nstatus"}, "exists twice"},
		"a path twice":              {[]string{"  - command: &sleep", mounts[:90] + "  - command: &sleep"}, "is mounted twice"},
		"a name that is none":       {[]string{"      name: audit-log\n", "      name: audit_log\n", "    name: audit-log\n", "    name: audit_log\n"}, "an unexpected volume was added"},
		"the log file mounted":      {[]string{"/var/log/kubernetes/audit/\n      name", "/var/log/kubernetes/audit/audit.log\n      name"}, "is not mounted"},
		"a comment lost":            {[]string{"   # both", ""}, "the comment \"# both\" is gone"},
		"a comment added":           {[]string{"status: {}", "status: {} # set"}, "comments were added"},
		"a comment moved":           {[]string{"   # both", "", "    image", "    # both\n    image"}, "left its line"},
		"other quotes":              {[]string{"\"10\"", "'10'"}, "\"\\\"10\\\"\" is gone"},
		"other spaces":              {[]string{"[sleep, ", "[ sleep, "}, "only white space changed"},
		"other indentation":         {[]string{"  volumes:", "  volumes: "}, "only white space changed"},
		"an anchor lost":            {[]string{"&sleep ", ""}, "\"&sleep\" is gone"},
		"another order":             {[]string{"kind: Pod\n", "", "apiVersion: v1\n", "kind: Pod\napiVersion: v1\n"}, "is gone"},
		"a document more":           {[]string{"status: {}\n", "status: {}\n---\na: b\n"}, "had 1 documents and now has 2"},
		"a key twice":               {[]string{"status: {}\n", "status: {}\nstatus: {}\n"}, "strictly"},
		"another volume's name":     {[]string{"      name: k8s-certs\n", "      name: certs\n"}, "has no volume: certs"},
		"broken":                    {[]string{"status: {}", "status: {"}, "the edited file cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, "manifest", manifest, replace(t, right, row.pairs...), row.fault)
		})
	}
}

// Manifests of other shapes. Each row changes both files, and then the edited file.
func TestManifestShapes(t *testing.T) {
	right := replace(t, manifest,
		"    image: reg", flags+"    image: reg", certs, certs+mounts, "status", volumes+"status")
	policyMount, logMount := mounts[:strings.Index(mounts, "    - mountPath: /var")], mounts[strings.Index(mounts, "    - mountPath: /var"):]
	policyVolume, logVolume := volumes[:strings.Index(volumes, "  - hostPath:\n      path: /var")], volumes[strings.Index(volumes, "  - hostPath:\n      path: /var"):]
	above := "    - mountPath: /var/log\n      name: logs\n"
	const server = "    - kube-apiserver\n    - --authorization-mode=Node,RBAC   # both\n"
	shell := "    - sh\n    - -c\n    - exec kube-apiserver " +
		strings.ReplaceAll(strings.TrimSpace(strings.ReplaceAll(flags, "    - ", "")), "\n", " ") + " >>/log 2>&1\n"
	part := "    - mountPath: /etc/kubernetes/audit-policy.yaml\n      name: etc\n      subPath: audit-policy.yaml\n"
	partVolume := "  - hostPath:\n      path: /etc/kubernetes\n      type: Directory\n    name: etc\n"
	aboveVolume := "  - hostPath:\n      path: /var/log\n    name: logs\n"
	for name, row := range map[string]struct{ before, after, fault string }{
		"a directory above serves the log": {
			replace(t, manifest, certs, certs+above, "status", aboveVolume+"status"),
			replace(t, right, logMount, "", certs, certs+above, logVolume, "", "status", aboveVolume+"status"), ""},
		"a directory above of another place": {
			replace(t, manifest, certs, certs+above, "status", aboveVolume+"status"),
			replace(t, right, logMount, "", certs, certs+above, logVolume, "", "status", aboveVolume+"status",
				"path: /var/log\n", "path: /data\n"), "is not /var/log/kubernetes/audit of the host"},
		"a directory above that is made writable": {
			replace(t, manifest, certs, certs+above+"      readOnly: true\n", "status", aboveVolume+"status"),
			replace(t, right, logMount, "", certs, certs+above+"      readOnly: false\n", logVolume, "",
				"status", aboveVolume+"status"), ""},
		"a mount of the path under another name": {
			replace(t, manifest, certs, certs+strings.Replace(policyMount, "audit\n", "p\n", 1),
				"status", strings.Replace(policyVolume, "audit\n", "p\n", 1)+"status"),
			replace(t, right, "      name: audit\n", "      name: p\n", "    name: audit\n", "    name: p\n"), ""},
		"a mount of something else put right": {
			replace(t, manifest, certs, certs+policyMount,
				"status", strings.Replace(policyVolume, "path: /etc/kubernetes/", "path: /srv/", 1)+"status"),
			right, ""},
		"a volume that something else uses too": {
			replace(t, manifest, certs, certs+policyMount+"    - mountPath: /p\n      name: audit\n",
				"status", strings.Replace(policyVolume, "path: /etc/kubernetes/", "path: /srv/", 1)+"status"),
			replace(t, right, logMount, "    - mountPath: /p\n      name: audit\n"+logMount), "the volume \"audit\" differs"},
		"an unrelated mount": {
			manifest, replace(t, right, "pki\n      name: k8s-certs\n      readOnly: true", "pki\n      name: k8s-certs\n      readOnly: false"),
			"the mount at /etc/kubernetes/pki differs"},
		"settings of another's replaced": {
			replace(t, manifest, "    image: reg", "    - --audit-log-maxage=7   # a week\n    - --audit-log-path\n    - /var/log/a.log\n    - --audit-webhook-mode=batch\n    image: reg"),
			replace(t, right, "    - --audit-log-maxage=30\n", "", "    - --audit-log-path=/var/log/kubernetes/audit/audit.log\n", "",
				"    - --audit-policy", "    - --audit-log-maxage=30   # a week\n    - --audit-log-path\n    - /var/log/kubernetes/audit/audit.log\n    - --audit-webhook-mode=batch\n    - --audit-policy"), ""},
		"settings of another's lost": {
			replace(t, manifest, "    image: reg", "    - --audit-webhook-mode=batch\n    image: reg"),
			right, "the rest of the command line differs"},
		"flags in args": {
			replace(t, manifest, "    - --authorization-mode", "    args:\n    - --authorization-mode"),
			replace(t, right, "    - --authorization-mode", "    args:\n    - --authorization-mode"), ""},
		"a flag moved from args to the command": {
			replace(t, manifest, "    - --authorization-mode", "    args:\n    - --v=2\n    - --authorization-mode"),
			replace(t, right, "    - --authorization-mode", "    - --v=2\n    args:\n    - --authorization-mode"), "the rest of the command line differs"},
		"empty lists filled": {
			replace(t, manifest, "    volumeMounts:\n    - mountPath: /etc/kubernetes/pki\n"+certs, "    volumeMounts: []  # none\n",
				"  volumes:\n  - hostPath:\n      path: /etc/kubernetes/pki\n      type: DirectoryOrCreate\n    name: k8s-certs\n", "  volumes: null\n"),
			replace(t, right, "    volumeMounts:\n    - mountPath: /etc/kubernetes/pki\n"+certs, "    volumeMounts:  # none\n",
				"  volumes:\n  - hostPath:\n      path: /etc/kubernetes/pki\n      type: DirectoryOrCreate\n    name: k8s-certs\n", "  volumes:\n"), ""},
		"flow list": {
			replace(t, manifest, "    - kube-apiserver\n    - --authorization-mode=Node,RBAC   # both\n", "      [ kube-apiserver, '--audit-log-maxage=7' ]   # both\n"),
			replace(t, right, "    - kube-apiserver\n    - --authorization-mode=Node,RBAC   # both\n"+flags,
				"      [ kube-apiserver, '--audit-log-maxage=30', "+
					strings.TrimPrefix(strings.ReplaceAll(strings.TrimSpace(flags), "\n    - ", ", "), "- ")+" ]   # both\n"), ""},
		"a shell line without the flags": {
			replace(t, manifest, "    - kube-apiserver\n", "    - sh\n    - -c\n    - exec kube-apiserver\n"),
			replace(t, right, "    - kube-apiserver\n", "    - sh\n    - -c\n    - exec kube-apiserver\n"), "--audit-log-path is missing"},
		"a shell line with the flags": {
			replace(t, manifest, server, shell), replace(t, right, server+flags, shell), ""},
		"a shell line that is edited": {
			replace(t, manifest, server, shell), replace(t, right, server+flags, strings.Replace(shell, " 2>&1", "", 1)),
			"the rest of the command line differs"},
		"a shell line with another wait": {
			replace(t, manifest, server, strings.Replace(shell, "=1s", "=9s", 1)),
			replace(t, right, server+flags, strings.Replace(shell, "=1s", "=9s", 1)), "--audit-log-batch-max-wait is \"9s\""},
		"a mount of ours that moves with its path": {
			replace(t, right, "policy-file=/etc/kubernetes/", "policy-file=/opt/", "mountPath: /etc/kubernetes/audit-policy", "mountPath: /opt/audit-policy",
				"path: /etc/kubernetes/audit-policy.yaml\n      type", "path: /opt/audit-policy.yaml\n      type"), right, ""},
		"a mount of ours that moves without its path": {
			replace(t, right, "mountPath: /etc/kubernetes/audit-policy", "mountPath: /opt/audit-policy",
				"path: /etc/kubernetes/audit-policy.yaml\n      type", "path: /opt/audit-policy.yaml\n      type"), right,
			"the mount at \"/opt/audit-policy.yaml\" is gone or moved"},
		"a mount of another's that moves": {
			replace(t, right, "policy-file=/etc/kubernetes/", "policy-file=/opt/", "mountPath: /etc/kubernetes/audit-policy", "mountPath: /opt/audit-policy",
				"path: /etc/kubernetes/audit-policy.yaml\n      type", "path: /opt/audit-policy.yaml\n      type",
				"name: audit\n", "name: p\n", "name: audit\n", "name: p\n"),
			replace(t, right, "name: audit\n", "name: p\n", "name: audit\n", "name: p\n"),
			"the mount at \"/opt/audit-policy.yaml\" is gone or moved"},
		"the policy as a part of a volume": {
			replace(t, manifest, certs, certs+part, "status", partVolume+"status"),
			replace(t, right, policyMount, part, policyVolume, partVolume), ""},
		"the policy as the wrong part of a volume": {
			replace(t, manifest, certs, certs+part, "status", partVolume+"status"),
			replace(t, right, policyMount, strings.Replace(part, "subPath: audit-policy", "subPath: policy", 1), policyVolume, partVolume),
			"is not /etc/kubernetes/audit-policy.yaml of the host"},
		"too old for compress": {
			replace(t, manifest, "v1.34.1", "v1.19.8"), replace(t, right, "v1.34.1", "v1.19.8"), "not known to Kubernetes v1.19.8"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, "manifest", row.before, row.after, row.fault) })
	}
}

func TestJSONStaysJSON(t *testing.T) {
	before := `{"kind":"Pod","spec":{"containers":[{"command":["kube-apiserver"],"name":"a"}]}}`
	var quoted []string
	for _, line := range strings.Split(strings.TrimSpace(flags), "\n") {
		quoted = append(quoted, `"`+strings.TrimPrefix(strings.TrimSpace(line), "- ")+`"`)
	}
	after := `{"kind":"Pod","spec":{"containers":[{"command":["kube-apiserver",` + strings.Join(quoted, ",") + `],"name":"a","volumeMounts":[` +
		`{"mountPath":"/etc/kubernetes/audit-policy.yaml","name":"audit","readOnly":true},{"mountPath":"/var/log/kubernetes/audit","name":"log"}]}],` +
		`"volumes":[{"name":"audit","hostPath":{"path":"/etc/kubernetes/audit-policy.yaml","type":"File"}},` +
		`{"name":"log","hostPath":{"path":"/var/log/kubernetes/audit","type":"DirectoryOrCreate"}}]}}`
	expect(t, "manifest", before, after, "")
	expect(t, "manifest", before, strings.Replace(after, `"--audit-log-format=json"`, `--audit-log-format=json`, 1), "the original file is JSON, the edited file is not")
}

func TestKubeadm(t *testing.T) {
	right := replace(t, cluster,
		"'Node,RBAC'\n", "'Node,RBAC'\n"+mapFlags, "  extraVolumes: []   # none\n", "  extraVolumes:   # none\n"+extraVolumes)
	expect(t, "kubeadm", cluster, right, "")
	expect(t, "kubeadm", right, right, "")
	expect(t, "kubeadm", cluster, cluster, "--audit-log-path is missing")
	for name, row := range map[string]struct {
		pairs []string
		fault string
	}{
		"a number":                {[]string{`maxage: "30"`, "maxage: 30"}, "audit-log-maxage is not a string but 30"},
		"a boolean":               {[]string{`compress: "true"`, "compress: true"}, "audit-log-compress is not a string but true"},
		"an underscore that wins": {[]string{"    audit-log-maxage", "    audit_log_maxage: \"7\"\n    audit-log-maxage"}, "--audit-log-maxage is \"7\""},
		"another's argument lost": {[]string{"    authorization-mode: 'Node,RBAC'\n", ""}, "differs at extraArgs.authorization-mode"},
		"the version quoted":      {[]string{": 1.30", ": \"1.30\""}, "the ClusterConfiguration differs at .kubernetesVersion"},
		"the version trimmed":     {[]string{": 1.30", ": 1.3"}, "\"1.30\" is gone"},
		"another document":        {[]string{"kind: InitConfiguration\n", "kind: InitConfiguration\nx: y\n"}, "document 1 differs at .x"},
		"a built-in name":         {[]string{"name: audit-log\n", "name: ca-certs\n"}, "an unexpected volume was added"},
		"the log read-only":       {[]string{"    pathType: DirectoryOrCreate", "    readOnly: true\n    pathType: DirectoryOrCreate"}, "mounted read-only"},
		"the policy writable":     {[]string{"    readOnly: true\n", ""}, "an unexpected volume was added"},
		"a separator not seen":    {[]string{"---\n# the cluster", "--- # the cluster"}, "kubeadm splits the edited file"},
		"a comment lost":          {[]string{"# the cluster\n", ""}, "is gone"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, "kubeadm", cluster, replace(t, right, row.pairs...), row.fault) })
	}
}

func TestKubeadmShapes(t *testing.T) {
	newer := strings.ReplaceAll(cluster, "v1beta3", "v1beta4")
	list := "    authorization-mode: 'Node,RBAC'\n"
	newer = replace(t, newer, list, "  - {name: authorization-mode, value: 'Node,RBAC'}\n  - name: audit-log-maxage\n    value: \"7\"   # days\n")
	newerAfter := replace(t, newer, "  extraVolumes: []   # none\n",
		strings.Replace(listFlags(), "  - name: audit-log-maxage\n    value: \"30\"\n", "", 1)+"  extraVolumes:   # none\n"+extraVolumes,
		"value: \"7\"", "value: \"30\"")
	initOnly := "apiVersion: kubeadm.k8s.io/v1beta3\nkind: InitConfiguration\n"
	appended := "---\napiVersion: kubeadm.k8s.io/v1beta3\nkind: ClusterConfiguration\napiServer:\n  extraArgs:\n" + mapFlags + "  extraVolumes:\n" + extraVolumes
	initJSON := `{"apiVersion": "kubeadm.k8s.io/v1beta3", "kind": "InitConfiguration"}` + "\n"
	edited := replace(t, cluster, "'Node,RBAC'\n", "'Node,RBAC'\n"+mapFlags, "  extraVolumes: []   # none\n", "  extraVolumes:   # none\n"+extraVolumes)
	escaped := replace(t, cluster, "'Node,RBAC'\n", "'Node,RBAC'\n    \"audit-log-max\\x61ge\": '7'\n")
	other := replace(t, cluster, "'Node,RBAC'\n", "'Node,RBAC'\n    \"\\x76\": '7'\n")
	join := "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n"
	for name, row := range map[string]struct{ before, after, fault string }{
		"a list":                     {newer, newerAfter, ""},
		"a map where a list belongs": {strings.ReplaceAll(cluster, "v1beta3", "v1beta4"), replace(t, strings.ReplaceAll(cluster, "v1beta3", "v1beta4"), "'Node,RBAC'\n", "'Node,RBAC'\n"+mapFlags), "extraArgs is not a list"},
		"a list where a map belongs": {strings.ReplaceAll(newer, "v1beta4", "v1beta3"), strings.ReplaceAll(newerAfter, "v1beta4", "v1beta3"), "extraArgs is not a map"},
		"a second one of a name":     {newer, replace(t, newerAfter, "  - name: audit-log-mode", "  - {name: audit-log-maxage, value: \"7\"}\n  - name: audit-log-mode"), "--audit-log-maxage is \"7\""},
		"a name with its dashes":     {newer, replace(t, newerAfter, "- name: audit-log-mode", "- name: audit-log-mod"), "--audit-log-mode is missing"},
		"a value of two words":       {newer, replace(t, newerAfter, "value: batch", "value: batch\n    x: y"), "is not a name with a string"},
		"an argument more":           {newer, replace(t, newerAfter, "  - name: audit-log-mode", "  - {name: v, value: \"2\"}\n  - name: audit-log-mode"), "differs at extraArgs"},
		"a document appended":        {initOnly, initOnly + appended, ""},
		"a document behind JSON":     {initJSON, initJSON + appended, ""},
		"a document in front of it":  {initJSON, "a: b\n---\n" + initJSON + appended, "the original file is JSON, the edited file is not"},
		"an escape in a key":         {escaped, strings.Replace(edited, "audit-log-maxage: ", "\"audit-log-max\\x61ge\": ", 1), ""},
		"another's key lost":         {other, edited, "\"\\\"\\\\x76\\\"\" is gone"},
		"appended with more":         {initOnly, initOnly + appended + "networking: {}\n", "the ClusterConfiguration differs at .networking"},
		"appended of another kind":   {initOnly, initOnly + strings.Replace(appended, "v1beta3", "v1beta2", 1), "differs at .apiVersion"},
		"not appended":               {initOnly, initOnly, "the file has 1 documents, not 2"},
		"a join alone":               {join, join, ""},
		"a join that was edited":     {join, join + strings.ReplaceAll(appended, "v1beta3", "v1beta4"), "documents, not 1"},
		"nothing for kubeadm":        {"a: b\n", "a: b\n", "no document for kubeadm"},
		"too old":                    {strings.ReplaceAll(initOnly, "v1beta3", "v1beta1"), strings.ReplaceAll(initOnly+appended, "v1beta3", "v1beta1"), "no supported kubeadm reads v1beta1"},
	} {
		t.Run(name, func(t *testing.T) { expect(t, "kubeadm", row.before, row.after, row.fault) })
	}
}

func TestCommentsAreFoundWhereTheyAre(t *testing.T) {
	text := "%YAML 1.1 # 1\n--- # 2\na: b # 3\n# 4\nc: 'x # no' # 5\nd: \"\\\" # no\n  # no\" # 6\n" +
		"e: x#no\nf: |  # 7\n  # no\n\n  no\n # 8\ng:\n- >-\n  # no\n # 9\n- {a: [b, #10\n   \"c # no\"]} #11\n" +
		"h: it's # 12\ni: - |\n# 13\n- k: |2\n      # no\n    # no\n  # 14\n? |\n  # no\n: x\n#15"
	_, comments := scan(text)
	expected := []string{"# 1", "# 2", "# 3", "# 4", "# 5", "# 6", "# 7", "# 8", "# 9", "#10", "#11", "# 12", "# 13", "# 14", "#15"}
	var found []string
	for _, one := range comments {
		found = append(found, one.text)
	}
	if strings.Join(found, "|") != strings.Join(expected, "|") {
		t.Errorf("%q", found)
	}
	for _, one := range comments {
		if !strings.Contains(strings.Split(text, "\n")[one.line], one.text) {
			t.Errorf("%q is not in line %d", one.text, one.line+1)
		}
	}
}

func TestOnlyQuotedMarksAreHarmless(t *testing.T) {
	for text, expected := range map[string]bool{
		"a: '{{ x }}'": true, "a: \"x\n  ${y}\"": true, "a: {b: \"<%= x %>\"}": true,
		"a: ${x}": false, "a: {HOST}": false, "a: '${x}'\nb: $y": false, "a: __HOST__": false,
		"a: b": false, "a: $(POD_IP)": false, "a: b # {{ x }}": false,
	} {
		if harmless(text) != expected {
			t.Errorf("%q", text)
		}
	}
}
