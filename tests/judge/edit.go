package main

import (
	"path"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

var booleanFlags = map[string]bool{
	"audit-log-compress": true, "audit-log-truncate-enabled": true, "audit-log-batch-throttle-enable": true,
	"audit-webhook-truncate-enabled": true, "audit-webhook-batch-throttle-enable": true,
}

// flagName returns the name of a flag as the API server compares it.
func flagName(name string) string { return strings.ReplaceAll(strings.TrimLeft(name, "-"), "_", "-") }

func isTrue(value string) bool { b, err := strconv.ParseBool(value); return err == nil && b }

func isBoolean(value string) bool { _, err := strconv.ParseBool(value); return err == nil }

// argument is one flag of a command line, with the positions of its one or two items.
type argument struct {
	name, value string
	from, to    int
}

// parse reads a command line as pflag does. The judge does not know which other flags take no value: if the next item
// looks like a flag, the flag counts as a flag without a value.
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

// checkFlags compares the flags that the API server will see with the expected flags. The last flag of a name counts.
func checkFlags(v *verdict, args []argument, version string) {
	effective := map[string]string{}
	for _, one := range args {
		effective[one.name] = one.value
	}
	names := make([]string, 0, len(v.want.flags))
	for name := range v.want.flags {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		wanted := v.want.flags[name]
		value, ok := effective[name]
		switch {
		case !ok && booleanFlags[name] && wanted == "false":
		case !ok:
			v.fault("--%s is missing", name)
		case value == wanted, booleanFlags[name] && isBoolean(value) && isTrue(value) == isTrue(wanted):
		default:
			v.fault("--%s is %q, not %q", name, value, wanted)
		}
	}
	for _, name := range v.want.absent {
		if _, ok := effective[name]; ok {
			v.fault("--%s is in the file, and a patch brings it", name)
		}
	}
	if _, ok := effective["audit-log-compress"]; ok && old(version) {
		v.fault("--audit-log-compress is not known to Kubernetes %s", version)
	}
}

var versionPattern = regexp.MustCompile(`^v?1\.(\d+)\.`)

// old returns true for a version before 1.20.
func old(version string) bool {
	match := versionPattern.FindStringSubmatch(version)
	if match == nil {
		return false
	}
	minor, err := strconv.Atoi(match[1])
	return err == nil && minor < 20
}

// mount is a path in the container, and what is mounted there.
type mount struct {
	container, host, kind string
	readOnly, onHost      bool
	// Is only a part of the volume mounted? Then the type of the volume is that of a directory above.
	sub bool
}

// checkServed checks that the API server sees the paths of the host at the same paths, each through the innermost
// mount.
func checkServed(v *verdict, mounts []mount) {
	for _, wanted := range v.want.served() {
		target, best := wanted.path, -1
		for i, one := range mounts {
			if covers(one.container, target) && (best < 0 || len(one.container) > len(mounts[best].container)) {
				best = i
			}
		}
		if best < 0 {
			v.fault("%s is not mounted", target)
			continue
		}
		one := mounts[best]
		onHost := v.want.onHost(target)
		if onHost == "" && !one.onHost {
			continue
		}
		if host := path.Join(one.host, strings.TrimPrefix(target, one.container)); !one.onHost || host != onHost {
			v.fault("%s in the container is not %s of the host", target, onHost)
		}
		if !wanted.readOnly && one.readOnly {
			v.fault("%s is mounted read-only", target)
		}
		kinds := []string{"Directory", "DirectoryOrCreate"}
		if one.container == target && !one.sub && wanted.kind == "File" {
			kinds = []string{"File", "FileOrCreate"}
		}
		if one.kind != "" && !contains(kinds, one.kind) {
			v.fault("the volume at %s has the type %s", one.container, one.kind)
		}
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

// aligned pairs the items of the original list with the items of the edited list. It must find all of them, in order;
// the rest was added. The key names an item in a fault.
func aligned(
	v *verdict, what string, before, after sequence, key func(interface{}) string, isSame func(a, b interface{}) bool,
) (pairs [][2]interface{}, added sequence) {
	next := 0
	for _, item := range after {
		if next < len(before) && isSame(before[next], item) {
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

// mountKey returns the key of a mount. A mount of the log file may become a mount of its directory.
func (v *verdict) mountKey(item interface{}) string {
	at := path.Clean(text(get(item, "mountPath")))
	if at == v.want.flags["audit-log-path"] {
		return v.want.logDirectory()
	}
	return at
}

// ownName matches the names that the program gives to its volumes.
var ownName = regexp.MustCompile(`^audit(-log|-webhook)?(-\d+)?$`)

// sameMount returns true if two mounts are the same. If a flag gets another path, the program's own mount for this flag
// moves to the new path (README, "How it edits YAML").
func (v *verdict) sameMount(oldFlags []argument) func(before, after interface{}) bool {
	moved := map[string]string{}
	for _, one := range oldFlags {
		switch one.name {
		case "audit-policy-file", "audit-webhook-config-file":
			moved[path.Clean(one.value)] = v.want.flags[one.name]
		case "audit-log-path":
			moved[path.Dir(one.value)] = v.want.logDirectory()
		}
	}
	return func(before, after interface{}) bool {
		at, now, name := v.mountKey(before), v.mountKey(after), nameKey(after)
		return at == now || moved[at] == now && name == nameKey(before) && ownName.MatchString(name)
	}
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

// mayChange returns true if the edit may change a mount, because it serves one of the API server's paths. Everything
// may change in a mount at the path; in a mount above the path, only whether it is read-only.
func (v *verdict) mayChange(at string, changed []string) bool {
	return v.want.servedAt(at) != nil || covers(at, v.want.logDirectory()) && subset(changed, "readOnly")
}

// faultsOf lists the faults that the API server's validation finds in volumes and mounts.
func faultsOf(volumes, mounts sequence) []string {
	var all []string
	names, paths := map[string]bool{}, map[string]bool{}
	for _, volume := range volumes {
		if name := nameKey(volume); names[name] {
			all = append(all, "the volume name "+name+" exists twice")
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
		v.fault("no container of the original file runs kube-apiserver")
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

// apiServer returns the document and the container that run the API server, or -1 if none does.
func apiServer(documents sequence) (document, container int) {
	for i, one := range documents {
		for j, candidate := range list(get(one, "spec", "containers")) {
			if items, _ := commandLine(candidate); start(candidate, items) >= 0 || shellLine(items) != nil {
				return i, j
			}
		}
	}
	return -1, -1
}

// commandLine returns the items of command and args as one list, and the number of items in command.
func commandLine(container interface{}) ([]string, int) {
	var items []string
	command := list(get(container, "command"))
	for _, item := range append(append(sequence{}, command...), list(get(container, "args"))...) {
		items = append(items, text(item))
	}
	return items, len(command)
}

// start returns the position of the first flag of the API server, or -1 if a container does not run it.
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

// shellLine returns the words after the API server in a shell line that runs it, or nil if there is none.
func shellLine(items []string) []string {
	for _, item := range items {
		words := strings.Fields(item)
		for i, word := range words {
			runs := i == 0 || words[i-1] == "exec"
			if runs && len(words) > 1 && path.Base(word) == "kube-apiserver" {
				return words[i+1:]
			}
		}
	}
	return nil
}

// mark is the annotation that tells the policy. If only the policy changes, it makes the kubelet restart the API server.
const mark = "kube-audit-bootstrap/policy"

// unmarked returns a pod without the mark, and the mark.
func unmarked(pod interface{}) (rest, found interface{}) {
	metadata := get(pod, "metadata")
	annotations, ok := without(get(metadata, "annotations"), mark).(mapping)
	switch {
	case !ok:
		return pod, nil
	case len(annotations) == 0:
		metadata = without(metadata, "annotations")
	default:
		metadata = with(metadata, "annotations", annotations)
	}
	return with(pod, "metadata", metadata), get(pod, "metadata", "annotations", mark)
}

func judgePod(v *verdict, before, after interface{}, index int) {
	oldPod, oldMark := unmarked(before)
	newPod, newMark := unmarked(after)
	changes, marks := !same(oldPod, newPod), newMark != oldMark
	if v.want.policyReplaced && !changes && (text(newMark) == "" || !marks) {
		v.fault("the policy changes and the pod does not: the API server keeps the policy that it has read")
	}
	if marks && text(newMark) == "" {
		v.fault("the mark is no text")
	}
	if v.want.policyReplaced || changes {
		before, after = oldPod, newPod
	}

	oldSpec, newSpec := get(before, "spec"), get(after, "spec")
	oldContainers, newContainers := list(get(oldSpec, "containers")), list(get(newSpec, "containers"))
	if len(oldContainers) != len(newContainers) {
		v.fault("the pod had %d containers and now has %d", len(oldContainers), len(newContainers))
		return
	}
	oldContainer, newContainer := oldContainers[index], newContainers[index]

	// Everything that the edit must not change.
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
	// A shell line is read, but never edited.
	oldArgs, newArgs := parse(shellLine(oldItems)), parse(shellLine(newItems))
	oldRest, newRest := oldItems, newItems
	if oldStart := start(oldContainer, oldItems); oldStart >= 0 {
		newStart := start(newContainer, newItems)
		if newStart < 0 {
			v.fault("the container no longer runs kube-apiserver")
			return
		}
		oldArgs, newArgs = parse(oldItems[oldStart:]), parse(newItems[newStart:])
		oldRest, newRest = v.others(oldItems, oldStart, oldSplit), v.others(newItems, newStart, newSplit)
	}
	image := text(get(newContainer, "image"))
	checkFlags(v, newArgs, image[strings.LastIndexByte(image, ':')+1:])
	for _, item := range append(list(get(newContainer, "command")), list(get(newContainer, "args"))...) {
		if _, ok := item.(string); !ok && item != nil && len(oldItems) != len(newItems) {
			v.fault("%v on the command line is not a string", item)
		}
	}
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
		sub := text(get(one, "subPath"))
		mounts = append(mounts, mount{
			path.Clean(text(get(one, "mountPath"))), path.Join(text(get(source, "path")), sub), text(get(source, "type")),
			readOnly, source != nil, sub != "",
		})
	}
	checkServed(v, mounts)

	pairs, added := aligned(v, "the mount at", oldMounts, newMounts, v.mountKey, v.sameMount(oldArgs))
	for _, pair := range pairs {
		changed := changedKeys(pair[0], pair[1])
		if at := v.mountKey(pair[1]); len(changed) > 0 && !v.mayChange(at, changed) {
			v.fault("the mount at %s differs: %v", at, changed)
		}
	}
	ours := map[string]string{}
	for _, one := range added {
		at := v.mountKey(one)
		readOnly, wanted := get(one, "readOnly"), v.want.servedAt(at)
		if !subset(changedKeys(one, mapping{}), "name", "mountPath", "readOnly") || wanted == nil ||
			!(readOnly == wanted.readOnly || readOnly == nil && !wanted.readOnly) {
			v.fault("an unexpected mount was added: %v", one)
		}
		ours[nameKey(one)] = at
	}
	pairs, added = aligned(v, "the volume", oldVolumes, newVolumes, nameKey, func(a, b interface{}) bool {
		return nameKey(a) == nameKey(b)
	})
	for _, pair := range pairs {
		if !same(pair[0], pair[1]) {
			judgeVolume(v, pair[0], pair[1], newContainers)
		}
	}
	for _, volume := range added {
		name := nameKey(volume)
		target := ours[name]
		for _, one := range newMounts { // an existing mount may have got its own volume
			if at := v.mountKey(one); target == "" && nameKey(one) == name && v.want.servedAt(at) != nil {
				target = at
			}
		}
		wanted := v.want.servedAt(target)
		if wanted == nil {
			v.fault("an unexpected volume was added: %v", volume)
			continue
		}
		expected := mapping{"name": name, "hostPath": mapping{"path": target, "type": wanted.kind}}
		host := path.Clean(text(get(volume, "hostPath", "path")))
		cleaned := with(volume, "hostPath", with(get(volume, "hostPath"), "path", host))
		if !same(cleaned, expected) || !labelPattern.MatchString(name) {
			v.fault("an unexpected volume was added: %v", volume)
		}
	}
}

// judgeVolume checks whether an existing volume may change: only its path or type, and only if it serves nothing but
// the API server's paths.
func judgeVolume(v *verdict, before, after interface{}, containers sequence) {
	name := nameKey(after)
	fields := subset(changedKeys(before, after), "hostPath") &&
		subset(changedKeys(get(before, "hostPath"), get(after, "hostPath")), "path", "type")
	for _, container := range containers {
		for _, one := range list(get(container, "volumeMounts")) {
			if nameKey(one) == name && v.want.servedAt(v.mountKey(one)) == nil {
				fields = false
			}
		}
	}
	if !fields {
		v.fault("the volume %q differs", name)
	}
}

// others returns the items of a command line that belong to no expected flag, each with its field.
func (v *verdict) others(items []string, from, split int) []string {
	ours := map[int]bool{}
	for _, one := range parse(items[from:]) {
		for i := one.from; i < one.to; i++ {
			ours[from+i] = v.want.isWanted(one.name)
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
		v.fault("two ClusterConfigurations: kubeadm refuses them")
	}
	switch {
	case len(cluster) > 0:
	case len(initial) > 0:
		// The edit is a separate document at the end.
		version := get(before[initial[0]], "apiVersion")
		before = append(append(sequence{}, before...), mapping{"apiVersion": version, "kind": "ClusterConfiguration"})
		cluster = []int{len(before) - 1}
	case len(find(before, "JoinConfiguration")) == 0:
		v.fault("the original file has no document for kubeadm")
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

// find returns the positions of kubeadm's documents of a kind.
func find(documents sequence, kind string) []int {
	var all []int
	for i, one := range documents {
		if strings.HasPrefix(text(get(one, "apiVersion")), "kubeadm.k8s.io/") && text(get(one, "kind")) == kind {
			all = append(all, i)
		}
	}
	return all
}

// builtInVolumes are the volumes that kubeadm gives the API server. A volume with such a name replaces kubeadm's own.
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
	var oldFlags, args []argument
	switch version := strings.TrimPrefix(text(get(after, "apiVersion")), "kubeadm.k8s.io/"); version {
	case "v1beta2", "v1beta3":
		oldFlags, args = mapArguments(v, oldArgs, newArgs)
	case "v1beta4", "v1":
		oldFlags, args = listArguments(v, oldArgs, newArgs)
	default:
		v.fault("no supported kubeadm reads %s", version)
		return
	}
	// kubeadm writes the arguments sorted (util/arguments.go). Then the last argument of a name counts.
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
			text(get(one, "pathType")), readOnly, true, false})
	}
	checkServed(v, mounts)
	pairs, added := aligned(v, "the volume at", oldVolumes, newVolumes, v.mountKey, v.sameMount(oldFlags))
	for _, pair := range pairs {
		at, changed := v.mountKey(pair[1]), changedKeys(pair[0], pair[1])
		if len(changed) > 0 && (!v.mayChange(at, changed) ||
			!subset(changed, "readOnly", "pathType", "hostPath", "mountPath")) {
			v.fault("the volume at %s differs: %v", at, changed)
		}
	}
	for _, one := range added {
		name := text(get(one, "name"))
		at := path.Clean(text(get(one, "mountPath")))
		wanted := v.want.servedAt(at)
		if wanted == nil {
			v.fault("an unexpected volume was added: %v", one)
			continue
		}
		expected := mapping{
			"name": name, "hostPath": v.want.onHost(at), "mountPath": at, "readOnly": wanted.readOnly,
			"pathType": wanted.kind,
		}
		cleaned := with(with(one, "mountPath", at), "hostPath", path.Clean(text(get(one, "hostPath"))))
		if get(one, "readOnly") == nil {
			cleaned = with(cleaned, "readOnly", false)
		}
		if !same(cleaned, expected) || !labelPattern.MatchString(name) || builtInVolumes.MatchString(name) {
			v.fault("an unexpected volume was added: %v", one)
		}
	}
}

// mapArguments reads extraArgs of v1beta2 and v1beta3, and compares the arguments that are not expected flags.
func mapArguments(v *verdict, before, after interface{}) (oldFlags, newFlags []argument) {
	rest := func(value interface{}, each func(name string, value interface{})) interface{} {
		var ours []string
		m, ok := without(value).(mapping)
		if !ok {
			v.fault("extraArgs is not a map")
		}
		for key, item := range m {
			name, ok := key.(string)
			if ok && v.want.isWanted(name) {
				ours = append(ours, name)
			}
			each(name, item)
		}
		return without(value, ours...)
	}
	others := rest(before, func(name string, item interface{}) {
		oldFlags = append(oldFlags, argument{name: flagName(name), value: text(item)})
	})
	others2 := rest(after, func(name string, item interface{}) {
		value, ok := item.(string)
		if !ok && v.want.isWanted(name) {
			v.fault("%s is not a string but %v", name, item)
		}
		newFlags = append(newFlags, argument{name: name, value: value})
	})
	if at := differ(others, others2, "extraArgs"); at != "" {
		v.fault("the ClusterConfiguration differs at %s", at)
	}
	return oldFlags, newFlags
}

// listArguments reads extraArgs of v1beta4 and v1, and compares the arguments that are not expected flags.
func listArguments(v *verdict, before, after interface{}) (oldFlags, newFlags []argument) {
	var rest [2]sequence
	for i, value := range []interface{}{before, after} {
		if _, ok := value.(sequence); !ok && value != nil {
			v.fault("extraArgs is not a list")
		}
		for _, item := range list(value) {
			name := text(get(item, "name"))
			if !v.want.isWanted(name) {
				rest[i] = append(rest[i], item)
			}
			value, ok := get(item, "value").(string)
			if i == 0 {
				oldFlags = append(oldFlags, argument{name: flagName(name), value: value})
				continue
			}
			if v.want.isWanted(name) && (!ok || !subset(changedKeys(item, mapping{}), "name", "value", "mergeMethod")) {
				v.fault("%s is not a name with a string: %v", name, item)
			}
			newFlags = append(newFlags, argument{name: name, value: value})
		}
	}
	if at := differ(rest[0], rest[1], "extraArgs"); at != "" {
		v.fault("the ClusterConfiguration differs at %s", at)
	}
	return oldFlags, newFlags
}
