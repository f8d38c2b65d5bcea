package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// counts has the numbers of cases and files, by the judgement.
type counts struct {
	cases, refused                      int
	kubeadm, manifests, ready, unedited int
}

// cases judges every case of a folder. It prints what is wrong and the counts. It returns true if nothing was wrong.
func cases(directory string, all expected) bool {
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) == 0 {
		fmt.Fprintln(os.Stderr, "judge: no cases:", directory)
		return false
	}
	var sum counts
	good := true
	wrong := func(name, fault string) {
		good = false
		fmt.Printf("WRONG %s: %s\n", name, fault)
	}
	found := map[string]bool{}
	for _, one := range entries {
		name := one.Name()
		found[name] = true
		for _, fault := range judgeCase(filepath.Join(directory, name), all, &sum) {
			wrong(name, fault)
		}
	}
	names := make([]string, 0, len(all.Cases))
	for name := range all.Cases {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if !found[name] {
			wrong(name, "expected.yaml names a case that does not exist")
		}
	}
	fmt.Printf("judge: %d cases, %d of them refused. Edited: %d kubeadm files, %d manifests. In need of no edit: %d. "+
		"Not to be edited: %d\n", sum.cases, sum.refused, sum.kubeadm, sum.manifests, sum.ready, sum.unedited)
	return good
}

// judgeCase judges all files of a case. The file "modes" of the case lists the changed files. Without it, nothing
// changed.
func judgeCase(folder string, all expected, sum *counts) (faults []string) {
	fault := func(format string, args ...interface{}) { faults = append(faults, fmt.Sprintf(format, args...)) }
	name := filepath.Base(folder)
	exception := all.Cases[name]
	before, err := filesOf(filepath.Join(folder, "before"))
	if err != nil {
		fault("%v", err)
	}
	after, err := filesOf(filepath.Join(folder, "after"))
	if err != nil && !os.IsNotExist(err) {
		fault("%v", err)
	}
	exit, err := exitCode(filepath.Join(folder, "plan.txt"))
	if err != nil {
		fault("%v", err)
	}
	sum.cases++
	refused := strings.HasPrefix(name, "refused-") || exception.Refused != ""
	if refused != (exit == "1" || exit == "2") {
		fault("plan ends with exit code %s", exit)
	}
	if refused {
		sum.refused++
		if len(after) > 0 {
			fault("after/ exists, but a refused run changes nothing: remove the files of an earlier recording")
		}
		return faults
	}
	text, err := os.ReadFile(filepath.Join(folder, "modes"))
	if err != nil && !os.IsNotExist(err) {
		fault("%v", err)
	}
	changed := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		if mode, file, ok := strings.Cut(line, " "); ok && mode != "gone" && !strings.HasSuffix(file, "/") {
			changed[file] = true
			if _, ok := after[file]; !ok {
				fault("%s is in modes and not in after/", file)
			}
		}
	}

	want := all.of(name)
	policy := want.flags["audit-policy-file"]
	if old, ok := before[policy]; ok && changed[policy] {
		want.policyReplaced = after[policy] != old
	}
	for _, file := range sortedKeys(before, after) {
		old, was := before[file]
		edited, is := after[file]
		if is && !changed[file] {
			fault("%s is in after/ and not in modes: remove the files of an earlier recording", file)
		}
		kind := kindOfText(edited)
		if was {
			kind = kindOfText(old)
		}
		switch _, isUnedited := exception.Unedited[file]; {
		case isUnedited:
			if sum.unedited++; kind == "" || !was || is && edited != old {
				fault("%s is not a file that stays unedited", file)
			}
		case kind == "":
			if was && is && edited != old && file != policy {
				fault("%s was edited, but the judge does not know this kind of file", file)
			}
		case !was:
			fault("%s was created; a %s must only be edited", file, kind)
		default:
			if !is {
				edited = old
			}
			verdict := judge(kind, old, edited, want)
			for _, one := range verdict.faults {
				fault("%s: %s", file, one)
			}
			switch {
			case edited == old:
				sum.ready++
			case kind == "kubeadm":
				sum.kubeadm++
			default:
				sum.manifests++
			}
		}
	}
	for _, file := range sortedKeys(exception.Unedited) {
		if _, ok := before[file]; !ok {
			fault("expected.yaml names %s, which does not exist", file)
		}
	}
	return faults
}

// kindOfText returns the kind of a file by its content: "kubeadm", "manifest" (a pod that runs an API server) or "". If
// the file cannot be read, the words in it decide.
func kindOfText(text string) string {
	all, err := documents(text)
	container := -1
	if err == nil {
		_, container = apiServer(all)
	}
	ofKubeadm := 0
	for _, kind := range []string{"ClusterConfiguration", "InitConfiguration", "JoinConfiguration"} {
		ofKubeadm += len(find(all, kind))
	}
	switch {
	case ofKubeadm > 0, err != nil && strings.Contains(text, "kubeadm.k8s.io/"):
		return "kubeadm"
	case container >= 0, err != nil && strings.Contains(text, "kube-apiserver"):
		return "manifest"
	}
	return ""
}

// filesOf reads all files of a folder, by their paths in it.
func filesOf(folder string) (map[string]string, error) {
	files := map[string]string{}
	return files, filepath.WalkDir(folder, func(path string, one fs.DirEntry, err error) error {
		if err != nil || one.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		files[strings.TrimPrefix(path, folder)] = string(text)
		return err
	})
}

// exitCode returns the exit code, which is the last line of a recorded output.
func exitCode(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	last := lines[len(lines)-1]
	if !strings.HasPrefix(last, "--- exit ") {
		return "", fmt.Errorf("%s does not end with an exit code", file)
	}
	return strings.TrimPrefix(last, "--- exit "), nil
}

func sortedKeys(maps ...map[string]string) (keys []string) {
	for _, one := range maps {
		for key := range one {
			if !contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	sort.Strings(keys)
	return keys
}

// shapeVersion stands for @VERSION@ in a shape. Its kubeadm reads v1beta3 and v1beta4.
const shapeVersion = "1.34.1"

// shapes runs the program on every shape, in a folder for each version of kubeadm's API. It must edit each of them.
func shapes(program, directory string, want expectation) bool {
	good, sum := true, 0
	for _, version := range []string{"v1beta3", "v1beta4"} {
		files, err := filesOf(filepath.Join(directory, version))
		if err != nil || len(files) == 0 {
			fmt.Fprintln(os.Stderr, "judge: no shapes:", filepath.Join(directory, version), err)
			good = false
		}
		for _, file := range sortedKeys(files) {
			sum++
			verdict, detail := tryFile(program, "kubeadm", strings.ReplaceAll(files[file], "@VERSION@", shapeVersion), want)
			if verdict != edited {
				good = false
				fmt.Printf("WRONG %s%s: %s: %s\n", version, file, verdict, detail)
			}
		}
	}
	fmt.Printf("judge: %d shapes\n", sum)
	return good
}
