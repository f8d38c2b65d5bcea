package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	goyaml "sigs.k8s.io/yaml/goyaml.v2"
)

type (
	mapping  = map[interface{}]interface{}
	sequence = []interface{}
)

// verdict is the result of the judge: the changed lines of the original file with their new text, the number of added
// lines, and the faults. Without faults, the edit is right.
type verdict struct {
	want    expectation
	changed []string
	added   int
	faults  []string
}

func (v *verdict) fault(format string, args ...interface{}) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

// judge compares two versions of one file of a kind, "kubeadm" or "manifest", as data and as text. Equal texts are
// right if the original file has the edit already, or needs none.
func judge(kind, before, after string, want expectation) verdict {
	v := verdict{want: want}
	old, err := documents(before)
	if err != nil {
		v.fault("the original file cannot be read as YAML: %v", err)
		return v
	}
	edited, err := documents(after)
	if err != nil {
		v.fault("the edited file cannot be read as YAML: %v", err)
		return v
	}
	strict(&v, kind, before, after)
	if kind == "manifest" {
		judgeManifest(&v, old, edited)
	} else {
		judgeKubeadm(&v, old, edited)
		seen, err := seenByKubeadm(after)
		if err != nil || len(find(seen, "ClusterConfiguration")) != len(find(edited, "ClusterConfiguration")) {
			v.fault("kubeadm splits the edited file at other lines and does not see its ClusterConfiguration")
		}
	}
	judgeText(&v, before, after)
	for _, line := range v.changed {
		if want.keep && strings.HasPrefix(line, "- ") {
			v.fault("a line was changed, but every line must stay: %q", line[2:])
		}
	}
	return v
}

// documents reads a YAML stream, typed by YAML 1.1's rules as Kubernetes reads it. Empty documents are left out.
func documents(text string) (sequence, error) {
	var all sequence
	decoder := goyaml.NewDecoder(strings.NewReader(text))
	for {
		var document interface{}
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if document != nil {
			all = append(all, document)
		}
	}
}

// strict looks for other things that the edit can break: a file that is no longer JSON, and keys that exist twice. The
// kubelet reads a file that starts with a brace only as JSON (apimachinery, pkg/util/yaml, ToJSON). kubeadm reads its
// file part by part, so a JSON file may get a part that is YAML.
func strict(v *verdict, kind, before, after string) {
	still := after
	if kind == "kubeadm" {
		still = append(parts(after), "")[0]
	}
	if json.Valid([]byte(before)) && !json.Valid([]byte(still)) {
		v.fault("the original file is JSON, the edited file is not")
	}
	// If a merge also has a key, the reader takes the key beside it for a second one.
	if err := duplicates(after); err != nil && duplicates(before) == nil && !strings.Contains(after, "<<") {
		v.fault("the edited file cannot be read strictly: %v", err)
	}
}

func duplicates(text string) error {
	decoder := goyaml.NewDecoder(strings.NewReader(text))
	decoder.SetStrict(true)
	for {
		var document interface{}
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// parts splits a file at the same lines as kubeadm: "---" with only white space behind it (apimachinery, pkg/util/yaml,
// YAMLReader).
func parts(text string) (all []string) {
	var part strings.Builder
	for _, line := range append(strings.SplitAfter(text, "\n"), "---") {
		if strings.HasPrefix(line, "---") && strings.TrimSpace(line[3:]) == "" && part.Len() > 0 {
			all = append(all, part.String())
			part.Reset()
		} else {
			part.WriteString(line)
		}
	}
	return all
}

// seenByKubeadm returns the first document of each part of a file: kubeadm reads no other.
func seenByKubeadm(text string) (sequence, error) {
	var seen sequence
	for _, part := range parts(text) {
		var document interface{}
		if err := goyaml.Unmarshal([]byte(part), &document); err != nil {
			return nil, err
		}
		if document != nil {
			seen = append(seen, document)
		}
	}
	return seen, nil
}

// get returns the value at a path of keys. It returns nil if a value on the path is not a mapping or lacks the key.
func get(value interface{}, keys ...string) interface{} {
	for _, key := range keys {
		m, ok := value.(mapping)
		if !ok {
			return nil
		}
		value = m[key]
	}
	return value
}

func text(value interface{}) string {
	s, _ := value.(string)
	return s
}

func list(value interface{}) sequence {
	s, _ := value.(sequence)
	return s
}

// without returns a copy of a mapping without some keys. Null counts as an empty mapping. Other values are returned as
// they are.
func without(value interface{}, keys ...string) interface{} {
	if value == nil {
		return mapping{}
	}
	m, ok := value.(mapping)
	if !ok {
		return value
	}
	rest := mapping{}
	for key, item := range m {
		rest[key] = item
	}
	for _, key := range keys {
		delete(rest, key)
	}
	return rest
}

// with returns a copy of a mapping with one key set.
func with(value interface{}, key string, item interface{}) interface{} {
	copied := without(value)
	if m, ok := copied.(mapping); ok {
		m[key] = item
	}
	return copied
}

// differ returns the first path where two values differ, in type or in content, and "" if they are equal.
func differ(a, b interface{}, where string) string {
	switch x := a.(type) {
	case mapping:
		y, ok := b.(mapping)
		if !ok {
			return where
		}
		for key := range y {
			if _, ok := x[key]; !ok {
				return fmt.Sprintf("%s.%v", where, key)
			}
		}
		for key, item := range x {
			other, ok := y[key]
			inner := fmt.Sprintf("%s.%v", where, key)
			if !ok {
				return inner
			}
			if at := differ(item, other, inner); at != "" {
				return at
			}
		}
	case sequence:
		y, ok := b.(sequence)
		if !ok || len(x) != len(y) {
			return where
		}
		for i := range x {
			if at := differ(x[i], y[i], fmt.Sprintf("%s[%d]", where, i)); at != "" {
				return at
			}
		}
	case float64:
		y, ok := b.(float64)
		if !ok || (x != y && !(math.IsNaN(x) && math.IsNaN(y))) {
			return where
		}
	default:
		switch b.(type) {
		case mapping, sequence:
			return where
		}
		if a != b {
			return where
		}
	}
	return ""
}

func same(a, b interface{}) bool { return differ(a, b, "x") == "" }
