package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

const limit = 10 * time.Second

// The path of a file on the node that is made for it.
var places = map[string]string{
	"kubeadm":  "/run/kubeadm/kubeadm.yaml",
	"manifest": "/etc/kubernetes/manifests/kube-apiserver.yaml",
}

var folders = []string{
	"kubeadm", "kubeadm-bad", "manifests", "manifests-bad", "policies", "policies-bad", "ordinary", "adversarial",
}

// The verdicts on one file, as they are printed.
const (
	edited     = "edited"
	accepted   = "accepted"
	nothing    = "nothing to do"
	refused    = "refused"
	notRefused = "NOT REFUSED"
	wrong      = "WRONG"
)

// corpus runs the program on every file of a corpus. It prints a line for each file, and a table. It returns true if
// nothing was wrong.
func corpus(program, directory string, want expectation) bool {
	notes := readNotes(filepath.Join(directory, "INDEX.tsv"))
	counts := map[string]map[string]int{}
	good, found := true, false
	for _, folder := range folders {
		files, err := os.ReadDir(filepath.Join(directory, folder))
		if err != nil {
			continue
		}
		counts[folder], found = map[string]int{}, true
		for _, file := range files {
			source := filepath.Join(directory, folder, file.Name())
			kind := kindOf(folder, file.Name())
			verdict, detail := "", ""
			if kind == "policy" {
				verdict, detail = tryPolicy(program, source)
			} else {
				verdict, detail = tryFile(program, kind, read(source), want)
			}
			name := folder + "/" + file.Name()
			if strings.HasSuffix(folder, "-bad") && verdict != refused && verdict != wrong {
				if kind == "policy" || !harmless(read(source)) {
					detail = strings.TrimSuffix(verdict+": "+detail, ": ")
					verdict = notRefused
				}
			}
			counts[folder][verdict]++
			good = good && verdict != wrong && verdict != notRefused
			line := fmt.Sprintf("%-13s %s", verdict, name)
			if note := notes[name]; note != "" {
				line += " [" + note + "]"
			}
			if detail != "" {
				line += ": " + detail
			}
			fmt.Println(line)
		}
	}
	if !found {
		fmt.Fprintln(os.Stderr, "judge: found no folder of a corpus in", directory)
		return false
	}
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	columns := []string{edited, accepted, nothing, refused, notRefused, wrong}
	fmt.Fprintln(table, "folder\tfiles\t"+strings.Join(columns, "\t")+"\t")
	for _, folder := range folders {
		count, ok := counts[folder]
		if !ok {
			continue
		}
		sum, row := 0, ""
		for _, column := range columns {
			sum += count[column]
			row += fmt.Sprintf("%d\t", count[column])
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", folder, sum, row)
	}
	table.Flush()
	return good
}

func kindOf(folder, name string) string {
	switch {
	case strings.HasPrefix(folder, "policies"):
		return "policy"
	case strings.HasPrefix(folder, "manifests"), strings.HasPrefix(name, "kapi_"):
		return "manifest"
	}
	return "kubeadm"
}

// readNotes reads the notes of an index: tab-separated, with the names of the columns in the first line.
func readNotes(path string) map[string]string {
	notes := map[string]string{}
	text, err := os.ReadFile(path)
	if err != nil {
		return notes
	}
	rows := strings.Split(string(text), "\n")
	column := func(row, name string) string {
		for i, title := range strings.Split(rows[0], "\t") {
			if fields := strings.Split(row, "\t"); title == name && i < len(fields) {
				return fields[i]
			}
		}
		return ""
	}
	for _, row := range rows[1:] {
		notes[column(row, "file")] = column(row, "note")
	}
	return notes
}

var templateMark = regexp.MustCompile(`\{\{|\{%|\$\{|\$[A-Za-z_]|\{[A-Z][A-Z0-9_]+\}|<%|<[A-Za-z_-]+>|__[A-Z]|%%|@@`)

// harmless returns true if a bad file has template marks only inside quoted values. These are text like any other, and
// the program may edit the file.
func harmless(text string) bool {
	words, _ := scan(text)
	some := false
	for _, one := range words {
		marked := templateMark.MatchString(one.text)
		if marked && !one.quoted {
			return false
		}
		some = some || marked
	}
	return some
}

// result is the result of a run of the program.
type result struct {
	exit   int
	output string // standard error, and what policy check finds
}

// run runs the program. The exit code is -1 if a signal or the time limit ended it.
func run(program string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if len(args) > 1 && args[1] == "check" {
		command.Stdout = &stderr
	}
	err := command.Run()
	var exited *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return result{-1, fmt.Sprintf("did not end within %s", limit)}
	case errors.As(err, &exited):
		return result{exited.ExitCode(), stderr.String()}
	case err != nil:
		return result{-1, err.Error()}
	}
	return result{0, stderr.String()}
}

// tryFile runs the program on a node with one file, and judges the result.
func tryFile(program, kind, original string, want expectation) (verdict, detail string) {
	root, err := os.MkdirTemp("", "judge-")
	if err != nil {
		return wrong, err.Error()
	}
	defer os.RemoveAll(root)
	file := filepath.Join(root, places[kind])
	for _, directory := range []string{filepath.Dir(file), filepath.Join(root, "etc/kubernetes/manifests")} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return wrong, err.Error()
		}
	}
	if err := os.WriteFile(file, []byte(original), 0o600); err != nil {
		return wrong, err.Error()
	}
	before := snapshot(root)
	first := run(program, "--root", root, "apply")
	switch first.exit {
	case 1:
		if at := changedEntry(before, snapshot(root)); at != "" {
			return wrong, "refused, but " + at
		}
		if !strings.Contains(first.output, filepath.Base(file)) || strings.Contains(first.output, "panicked") {
			return wrong, "refused, but the message does not name the file: " + oneLine(first.output)
		}
		return refused, strings.ReplaceAll(oneLine(first.output), root, "")
	case 0:
	default:
		return wrong, fmt.Sprintf("exit %d: %s", first.exit, oneLine(first.output))
	}
	after := read(file)
	result := judge(kind, original, after, want)
	if len(result.faults) > 0 {
		return wrong, strings.Join(result.faults, "; ")
	}
	before = snapshot(root)
	if second := run(program, "--root", root, "apply"); second.exit != 0 {
		return wrong, fmt.Sprintf("the second run: exit %d: %s", second.exit, oneLine(second.output))
	}
	if at := changedEntry(before, snapshot(root)); at != "" {
		return wrong, "the second run: " + at
	}
	if after == original {
		return nothing, strings.ReplaceAll(oneLine(first.output), root, "")
	}
	if back := run(program, "--root", root, "restore"); back.exit != 0 {
		return wrong, fmt.Sprintf("restore: exit %d: %s", back.exit, oneLine(back.output))
	}
	if read(file) != original {
		return wrong, "restore did not put the file back"
	}
	changed := strings.Count("\n"+strings.Join(result.changed, "\n"), "\n- ")
	return edited, fmt.Sprintf("%d lines changed, %d added", changed, result.added)
}

var policyMessage = regexp.MustCompile(`(?m)^.*:\d+:\d+: .+$`)

// tryPolicy lets the program check a policy, for all versions and, as information, for 1.36.
func tryPolicy(program, source string) (verdict, detail string) {
	plain := run(program, "policy", "check", source)
	newest := run(program, "policy", "check", source, "--kubernetes-version", "1.36")
	said := func(r result) string { return strings.ReplaceAll(oneLine(r.output), source, "policy") }
	message := said(plain)
	if newest.exit != plain.exit {
		message += fmt.Sprintf(" (1.36: exit %d: %s)", newest.exit, said(newest))
	}
	switch {
	case plain.exit == 0:
		return accepted, message
	case plain.exit == 1 && policyMessage.MatchString(plain.output):
		return refused, message
	}
	return wrong, fmt.Sprintf("exit %d: %s", plain.exit, message)
}

func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == '\r' }), " | ")
}

// entry is the state of a file or directory that must stay the same if nothing wrote to it.
type entry struct {
	mode     fs.FileMode
	inode    uint64
	modified int64
	owner    [2]uint32
	sum      [sha256.Size]byte
}

func snapshot(root string) map[string]entry {
	all := map[string]entry{}
	_ = filepath.WalkDir(root, func(path string, item fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := item.Info()
		if err != nil {
			return err
		}
		stat, _ := info.Sys().(*syscall.Stat_t)
		one := entry{info.Mode(), stat.Ino, info.ModTime().UnixNano(), [2]uint32{stat.Uid, stat.Gid}, [sha256.Size]byte{}}
		if info.Mode().IsRegular() {
			text, _ := os.ReadFile(path)
			one.sum = sha256.Sum256(text)
		}
		all[strings.TrimPrefix(path, root)] = one
		return nil
	})
	return all
}

// changedEntry names a file or directory that changed, and returns "" if none did.
func changedEntry(before, after map[string]entry) string {
	for path, one := range after {
		if was, ok := before[path]; !ok {
			return path + " was created"
		} else if was != one {
			return path + " was changed"
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			return path + " was removed"
		}
	}
	return ""
}
