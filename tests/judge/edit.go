package main

import (
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// What the guide asks for.
const (
	policyFile   = "/etc/kubernetes/audit-policy.yaml"
	logDirectory = "/var/log/kubernetes/audit"
	logFile      = logDirectory + "/audit.log"
)

var wantedFlags = map[string]string{
	"audit-policy-file":                 policyFile,
	"audit-log-path":                    logFile,
	"audit-log-batch-max-size":          "5",
	"audit-log-compress":                "true",
	"audit-log-format":                  "json",
	"audit-log-maxage":                  "30",
	"audit-log-maxbackup":               "100",
	"audit-log-maxsize":                 "50",
	"audit-log-mode":                    "batch",
	"audit-log-truncate-enabled":        "true",
	"audit-log-truncate-max-batch-size": "10485760",
	"audit-log-truncate-max-event-size": "102400",
	"audit-log-version":                 "audit.k8s.io/v1",
}

var booleanFlags = map[string]bool{
	"audit-log-compress": true, "audit-log-truncate-enabled": true, "audit-log-batch-throttle-enable": true,
	"audit-webhook-truncate-enabled": true, "audit-webhook-batch-throttle-enable": true,
}

// flagName gives the name of a flag as the API server compares it.
func flagName(name string) string { return strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-") }

func isWanted(name string) bool { _, ok := wantedFlags[flagName(name)]; return ok }

func isTrue(value string) bool { b, err := strconv.ParseBool(value); return err == nil && b }

// argument is one flag of a command line, with the positions of the one or two items that it is written in.
type argument struct {
	name, value string
	from, to    int
}

// parse reads a command line as pflag does. Which flags of others take no value is not known here: one whose next
// item looks like a flag counts as such.
func parse(items []string) []argument {
	var all []argument
	for i := 0; i < len(items); i++ {
		item := items[i]
		if item == "--" {
			break
		}
		if !strings.HasPrefix(item, "--") {
			continue
		}
		if at := strings.IndexByte(item, '='); at >= 0 {
			all = append(all, argument{flagName(item[:at]), item[at+1:], i, i + 1})
			continue
		}
		name := flagName(item)
		last := i+1 == len(items)
		if booleanFlags[name] || last || (!strings.HasPrefix(name, "audit-") && strings.HasPrefix(items[i+1], "-")) {
			all = append(all, argument{name, "true", i, i + 1})
		} else {
			all = append(all, argument{name, items[i+1], i, i + 2})
			i++
		}
	}
	return all
}

// checkFlags compares the flags that the API server will see with the guide's; the last of a name counts.
func checkFlags(v *verdict, args []argument, version string) {
	effective := map[string]string{}
	for _, one := range args {
		effective[one.name] = one.value
	}
	names := make([]string, 0, len(wantedFlags))
	for name := range wantedFlags {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		value, ok := effective[name]
		switch {
		case !ok:
			v.fault("--%s is missing", name)
		case value == wantedFlags[name], booleanFlags[name] && isTrue(value):
		default:
			v.fault("--%s is %q, not %q", name, value, wantedFlags[name])
		}
	}
	if _, ok := effective["audit-log-compress"]; ok && old(version) {
		v.fault("--audit-log-compress is not known to Kubernetes %s", version)
	}
}

var versionPattern = regexp.MustCompile(`^v?1\.(\d+)\.`)

// old tells a version before 1.20.
func old(version string) bool {
	match := versionPattern.FindStringSubmatch(version)
	if match == nil {
		return false
	}
	minor, err := strconv.Atoi(match[1])
	return err == nil && minor < 20
}

// mount is a path of the container with what it shows.
type mount struct {
	container, host, kind string
	readOnly, onHost      bool
}

// checkServed finds out whether the API server sees a path of the host at the same path, through the innermost mount.
func checkServed(v *verdict, mounts []mount, target string, kinds ...string) {
	best := -1
	for i, one := range mounts {
		if covers(one.container, target) && (best < 0 || len(one.container) > len(mounts[best].container)) {
			best = i
		}
	}
	if best < 0 {
		v.fault("%s is not mounted", target)
		return
	}
	one := mounts[best]
	if host := path.Join(one.host, strings.TrimPrefix(target, one.container)); !one.onHost || host != target {
		v.fault("%s in the container is not %s of the host", target, target)
	}
	if target == logDirectory && one.readOnly {
		v.fault("%s is mounted read-only", target)
	}
	if one.container != target {
		kinds = []string{"Directory", "DirectoryOrCreate"}
	}
	if one.kind != "" && !contains(kinds, one.kind) {
		v.fault("the volume at %s has the type %s", one.container, one.kind)
	}
}

func covers(directory, target string) bool {
	return directory == target || strings.HasPrefix(target, strings.TrimSuffix(directory, "/")+"/")
}

func contains(all []string, one string) bool {
	for _, item := range all {
		if item == one {
			return true
		}
	}
	return false
}

// aligned pairs the items of a list before with those after: all of them, in order, by a key; the rest was added.
func aligned(
	v *verdict, what string, before, after sequence, key func(interface{}) string,
) (pairs [][2]interface{}, added sequence) {
	next := 0
	for _, item := range after {
		if next < len(before) && key(before[next]) == key(item) {
			pairs = append(pairs, [2]interface{}{before[next], item})
			next++
		} else {
			added = append(added, item)
		}
	}
	if next < len(before) {
		v.fault("%s %q is gone or moved", what, key(before[next]))
	}
	return pairs, added
}

// mountKey is what a mount is known by. One of the log file itself may become one of its directory.
func mountKey(item interface{}) string {
	at := path.Clean(text(get(item, "mountPath")))
	if at == logFile {
		return logDirectory
	}
	return at
}

func nameKey(item interface{}) string { return text(get(item, "name")) }

var labelPattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// changedKeys lists the keys in which two mappings differ.
func changedKeys(a, b interface{}) []string {
	var keys []string
	for _, pair := range [][2]interface{}{{a, b}, {b, a}} {
		m, _ := without(pair[0]).(mapping)
		for key, value := range m {
			if name := text(key); !same(value, get(pair[1], name)) && !contains(keys, name) {
				keys = append(keys, name)
			}
		}
	}
	return keys
}

func subset(keys []string, allowed ...string) bool {
	for _, key := range keys {
		if !contains(allowed, key) {
			return false
		}
	}
	return true
}

// mayChange tells whether a mount serves one of the two paths, so that it is ours to put right: all of it where it is
// at the path, only whether it is read-only where it is above.
func mayChange(at string, changed []string) bool {
	if at == policyFile || at == logDirectory {
		return true
	}
	return covers(at, logDirectory) && subset(changed, "readOnly")
}

// faultsOf lists what the API server's validation refuses in a list of volumes and mounts.
func faultsOf(volumes, mounts sequence) []string {
	var all []string
	names, paths := map[string]bool{}, map[string]bool{}
	for _, volume := range volumes {
		if name := nameKey(volume); names[name] {
			all = append(all, "the volume name "+name+" is there twice")
		} else {
			names[name] = true
		}
	}
	for _, one := range mounts {
		at := path.Clean(text(get(one, "mountPath")))
		if paths[at] {
			all = append(all, at+" is mounted twice")
		}
		paths[at] = true
		if name := nameKey(one); !names[name] {
			all = append(all, "the mount at "+at+" has no volume: "+name)
		}
	}
	return all
}

func newFaults(v *verdict, before, after []string) {
	for _, fault := range after {
		if !contains(before, fault) {
			v.fault("%s", fault)
		}
	}
}

// judgeManifest compares two readings of a static pod manifest.
func judgeManifest(v *verdict, before, after sequence) {
	document, container := apiServer(before)
	if document < 0 {
		v.fault("no container of the file before runs kube-apiserver")
	}
	if len(before) != len(after) {
		v.fault("the file had %d documents and now has %d", len(before), len(after))
		return
	}
	for i := range before {
		if i == document {
			judgePod(v, before[i], after[i], container)
		} else if at := differ(before[i], after[i], ""); at != "" {
			v.fault("document %d differs at %s", i+1, at)
		}
	}
}

// apiServer finds the document and the container that run the API server; -1 where none does.
func apiServer(documents sequence) (document, container int) {
	for i, one := range documents {
		for j, candidate := range list(get(one, "spec", "containers")) {
			if command, _ := commandLine(candidate); start(candidate, command) >= 0 {
				return i, j
			}
		}
	}
	return -1, -1
}

// commandLine gives the items of command and args as one list, and the number of those in command.
func commandLine(container interface{}) ([]string, int) {
	var items []string
	command := list(get(container, "command"))
	for _, item := range append(append(sequence{}, command...), list(get(container, "args"))...) {
		items = append(items, text(item))
	}
	return items, len(command)
}

// start gives the position of the first flag of the API server; -1 where a container does not run it.
func start(container interface{}, items []string) int {
	for i, item := range items {
		if strings.HasPrefix(item, "-") {
			continue
		}
		switch path.Base(item) {
		case "kube-apiserver":
			return i + 1
		case "hyperkube":
			if i+1 < len(items) && strings.HasSuffix(items[i+1], "apiserver") {
				return i + 2
			}
		}
	}
	if get(container, "command") == nil && len(items) > 0 && strings.HasPrefix(items[0], "-") &&
		strings.Contains(text(get(container, "image")), "kube-apiserver") {
		return 0
	}
	return -1
}

func judgePod(v *verdict, before, after interface{}, index int) {
	oldSpec, newSpec := get(before, "spec"), get(after, "spec")
	oldContainers, newContainers := list(get(oldSpec, "containers")), list(get(newSpec, "containers"))
	if len(oldContainers) != len(newContainers) {
		v.fault("the pod had %d containers and now has %d", len(oldContainers), len(newContainers))
		return
	}
	oldContainer, newContainer := oldContainers[index], newContainers[index]

	// All but what the edit is about.
	bare := func(document, spec interface{}, containers sequence) interface{} {
		containers = append(sequence{}, containers...)
		containers[index] = without(containers[index], "command", "args", "volumeMounts")
		return with(document, "spec", with(without(spec, "volumes"), "containers", containers))
	}
	if at := differ(bare(before, oldSpec, oldContainers), bare(after, newSpec, newContainers), ""); at != "" {
		v.fault("the pod differs at %s", at)
	}

	oldItems, oldSplit := commandLine(oldContainer)
	newItems, newSplit := commandLine(newContainer)
	newStart := start(newContainer, newItems)
	if newStart < 0 {
		v.fault("the container no longer runs kube-apiserver")
		return
	}
	args := parse(newItems[newStart:])
	image := text(get(newContainer, "image"))
	checkFlags(v, args, image[strings.LastIndexByte(image, ':')+1:])
	for _, item := range append(list(get(newContainer, "command")), list(get(newContainer, "args"))...) {
		if _, ok := item.(string); !ok && item != nil && len(oldItems) != len(newItems) {
			v.fault("%v on the command line is no string", item)
		}
	}
	oldRest := others(oldItems, start(oldContainer, oldItems), oldSplit)
	newRest := others(newItems, newStart, newSplit)
	if strings.Join(oldRest, "\n") != strings.Join(newRest, "\n") {
		v.fault("the rest of the command line differs: %q, now %q", oldRest, newRest)
	}

	oldVolumes, newVolumes := list(get(oldSpec, "volumes")), list(get(newSpec, "volumes"))
	oldMounts, newMounts := list(get(oldContainer, "volumeMounts")), list(get(newContainer, "volumeMounts"))
	newFaults(v, faultsOf(oldVolumes, oldMounts), faultsOf(newVolumes, newMounts))
	volumes := map[string]interface{}{}
	for _, volume := range newVolumes {
		volumes[nameKey(volume)] = volume
	}
	var mounts []mount
	for _, one := range newMounts {
		readOnly, _ := get(one, "readOnly").(bool)
		source := get(volumes[nameKey(one)], "hostPath")
		host := path.Join(text(get(source, "path")), text(get(one, "subPath")))
		mounts = append(mounts, mount{
			path.Clean(text(get(one, "mountPath"))), host, text(get(source, "type")), readOnly, source != nil,
		})
	}
	checkServed(v, mounts, policyFile, "File", "FileOrCreate")
	checkServed(v, mounts, logDirectory, "Directory", "DirectoryOrCreate")

	pairs, added := aligned(v, "the mount at", oldMounts, newMounts, mountKey)
	for _, pair := range pairs {
		changed := changedKeys(pair[0], pair[1])
		if len(changed) > 0 && !mayChange(mountKey(pair[1]), changed) {
			v.fault("the mount at %s differs: %v", mountKey(pair[1]), changed)
		}
	}
	ours := map[string]string{}
	for _, one := range added {
		at := mountKey(one)
		readOnly := get(one, "readOnly")
		if !subset(changedKeys(one, mapping{}), "name", "mountPath", "readOnly") ||
			!(at == policyFile && readOnly == true || at == logDirectory && (readOnly == nil || readOnly == false)) {
			v.fault("a mount was added that is none of the two: %v", one)
		}
		ours[nameKey(one)] = at
	}
	pairs, added = aligned(v, "the volume", oldVolumes, newVolumes, nameKey)
	for _, pair := range pairs {
		if !same(pair[0], pair[1]) {
			judgeVolume(v, pair[0], pair[1], newContainers)
		}
	}
	for _, volume := range added {
		name := nameKey(volume)
		target := ours[name]
		for _, one := range newMounts { // a mount that was there may have got a volume of its own
			if at := mountKey(one); target == "" && nameKey(one) == name && (at == policyFile || at == logDirectory) {
				target = at
			}
		}
		kind := map[string]string{policyFile: "File", logDirectory: "DirectoryOrCreate"}[target]
		expected := mapping{"name": name, "hostPath": mapping{"path": target, "type": kind}}
		host := path.Clean(text(get(volume, "hostPath", "path")))
		cleaned := with(volume, "hostPath", with(get(volume, "hostPath"), "path", host))
		if target == "" || !same(cleaned, expected) || !labelPattern.MatchString(name) {
			v.fault("a volume was added that is none of the two: %v", volume)
		}
	}
}

// judgeVolume says whether a volume that was there may have changed: its path or type, where it serves one of the two
// paths and nothing else.
func judgeVolume(v *verdict, before, after interface{}, containers sequence) {
	name := nameKey(after)
	fields := subset(changedKeys(before, after), "hostPath") &&
		subset(changedKeys(get(before, "hostPath"), get(after, "hostPath")), "path", "type")
	for _, container := range containers {
		for _, one := range list(get(container, "volumeMounts")) {
			if at := mountKey(one); nameKey(one) == name && at != policyFile && at != logDirectory {
				fields = false
			}
		}
	}
	if !fields {
		v.fault("the volume %q differs", name)
	}
}

// others gives the items of a command line that belong to none of the guide's flags, each with where it stands.
func others(items []string, from, split int) []string {
	ours := map[int]bool{}
	for _, one := range parse(items[from:]) {
		for i := one.from; i < one.to; i++ {
			ours[from+i] = isWanted(one.name)
		}
	}
	var rest []string
	for i, item := range items {
		if !ours[i] {
			rest = append(rest, map[bool]string{true: "command ", false: "args "}[i < split]+item)
		}
	}
	return rest
}

// judgeKubeadm compares two readings of a kubeadm configuration file.
func judgeKubeadm(v *verdict, before, after sequence) {
	cluster, initial := find(before, "ClusterConfiguration"), find(before, "InitConfiguration")
	if len(cluster) > 1 {
		v.fault("two ClusterConfigurations: kubeadm refuses that")
	}
	switch {
	case len(cluster) > 0:
	case len(initial) > 0:
		// The edit is a document of its own, at the end.
		version := get(before[initial[0]], "apiVersion")
		before = append(append(sequence{}, before...), mapping{"apiVersion": version, "kind": "ClusterConfiguration"})
		cluster = []int{len(before) - 1}
	case len(find(before, "JoinConfiguration")) == 0:
		v.fault("no document for kubeadm in the file before")
	}
	if len(before) != len(after) {
		v.fault("the file has %d documents, not %d", len(after), len(before))
		return
	}
	for i := range before {
		if len(cluster) > 0 && i == cluster[0] {
			judgeCluster(v, before[i], after[i])
		} else if at := differ(before[i], after[i], ""); at != "" {
			v.fault("document %d differs at %s", i+1, at)
		}
	}
}

// find gives the positions of kubeadm's documents of a kind.
func find(documents sequence, kind string) []int {
	var all []int
	for i, one := range documents {
		if strings.HasPrefix(text(get(one, "apiVersion")), "kubeadm.k8s.io/") && text(get(one, "kind")) == kind {
			all = append(all, i)
		}
	}
	return all
}

// builtInVolumes are those that kubeadm gives the API server: one of such a name takes the place of its own.
var builtInVolumes = regexp.MustCompile(
	`^((k8s|ca|etcd)-certs(-\d+)?|etc-ca-certificates|usr-(local-)?share-ca-certificates|etc-pki.*)$`)

func judgeCluster(v *verdict, before, after interface{}) {
	bare := func(document interface{}) interface{} {
		return with(document, "apiServer", without(get(document, "apiServer"), "extraArgs", "extraVolumes"))
	}
	if at := differ(bare(before), bare(after), ""); at != "" {
		v.fault("the ClusterConfiguration differs at %s", at)
	}
	oldArgs, newArgs := get(before, "apiServer", "extraArgs"), get(after, "apiServer", "extraArgs")
	var args []argument
	switch version := strings.TrimPrefix(text(get(after, "apiVersion")), "kubeadm.k8s.io/"); version {
	case "v1beta2", "v1beta3":
		args = mapArguments(v, oldArgs, newArgs)
	case "v1beta4", "v1":
		args = listArguments(v, oldArgs, newArgs)
	default:
		v.fault("no kubeadm that is looked after reads %s", version)
		return
	}
	// kubeadm writes them sorted (util/arguments.go); then the last of a name counts.
	sort.SliceStable(args, func(i, j int) bool {
		if args[i].name != args[j].name {
			return args[i].name < args[j].name
		}
		return args[i].value < args[j].value
	})
	var items []string
	for _, one := range args {
		items = append(items, "--"+one.name+"="+one.value)
	}
	checkFlags(v, parse(items), text(get(after, "kubernetesVersion")))

	oldVolumes := list(get(before, "apiServer", "extraVolumes"))
	newVolumes := list(get(after, "apiServer", "extraVolumes"))
	newFaults(v, faultsOf(oldVolumes, oldVolumes), faultsOf(newVolumes, newVolumes))
	var mounts []mount
	for _, one := range newVolumes {
		readOnly, _ := get(one, "readOnly").(bool)
		mounts = append(mounts, mount{path.Clean(text(get(one, "mountPath"))), path.Clean(text(get(one, "hostPath"))),
			text(get(one, "pathType")), readOnly, true})
	}
	checkServed(v, mounts, policyFile, "File", "FileOrCreate")
	checkServed(v, mounts, logDirectory, "Directory", "DirectoryOrCreate")
	pairs, added := aligned(v, "the volume at", oldVolumes, newVolumes, mountKey)
	for _, pair := range pairs {
		changed := changedKeys(pair[0], pair[1])
		if len(changed) > 0 && (!mayChange(mountKey(pair[1]), changed) ||
			!subset(changed, "readOnly", "pathType", "hostPath", "mountPath")) {
			v.fault("the volume at %s differs: %v", mountKey(pair[1]), changed)
		}
	}
	for _, one := range added {
		name := text(get(one, "name"))
		at := path.Clean(text(get(one, "mountPath")))
		expected := mapping{"name": name, "hostPath": at, "mountPath": at, "readOnly": at == policyFile}
		expected["pathType"] = map[bool]string{true: "File", false: "DirectoryOrCreate"}[at == policyFile]
		cleaned := with(with(one, "mountPath", at), "hostPath", path.Clean(text(get(one, "hostPath"))))
		if get(one, "readOnly") == nil {
			cleaned = with(cleaned, "readOnly", false)
		}
		if (at != policyFile && at != logDirectory) || !same(cleaned, expected) ||
			!labelPattern.MatchString(name) || builtInVolumes.MatchString(name) {
			v.fault("a volume was added that is none of the two: %v", one)
		}
	}
}

// mapArguments reads extraArgs of v1beta2 and v1beta3, and compares those that are not the guide's.
func mapArguments(v *verdict, before, after interface{}) []argument {
	var args []argument
	rest := func(value interface{}, each func(name string, value interface{})) interface{} {
		var ours []string
		m, ok := without(value).(mapping)
		if !ok {
			v.fault("extraArgs is no map")
		}
		for key, item := range m {
			name, ok := key.(string)
			if ok && isWanted(name) {
				ours = append(ours, name)
			}
			each(name, item)
		}
		return without(value, ours...)
	}
	others := rest(before, func(string, interface{}) {})
	others2 := rest(after, func(name string, item interface{}) {
		value, ok := item.(string)
		if !ok && isWanted(name) {
			v.fault("%s is no string but %v", name, item)
		}
		args = append(args, argument{name: name, value: value})
	})
	if at := differ(others, others2, "extraArgs"); at != "" {
		v.fault("the ClusterConfiguration differs at %s", at)
	}
	return args
}

// listArguments reads extraArgs of v1beta4 and v1, and compares those that are not the guide's.
func listArguments(v *verdict, before, after interface{}) []argument {
	var args []argument
	var rest [2]sequence
	for i, value := range []interface{}{before, after} {
		if _, ok := value.(sequence); !ok && value != nil {
			v.fault("extraArgs is no list")
		}
		for _, item := range list(value) {
			name := text(get(item, "name"))
			if !isWanted(name) {
				rest[i] = append(rest[i], item)
			}
			if i == 1 {
				value, ok := get(item, "value").(string)
				if isWanted(name) && (!ok || !subset(changedKeys(item, mapping{}), "name", "value", "mergeMethod")) {
					v.fault("%s is no name with a string: %v", name, item)
				}
				args = append(args, argument{name: name, value: value})
			}
		}
	}
	if at := differ(rest[0], rest[1], "extraArgs"); at != "" {
		v.fault("the ClusterConfiguration differs at %s", at)
	}
	return args
}
