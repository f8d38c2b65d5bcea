package main

import (
	_ "embed"
	"fmt"
	"path"

	goyaml "sigs.k8s.io/yaml/goyaml.v2"
)

//go:embed expected.yaml
var expectedText []byte

// expected is the judge's own list of what is right. expected.yaml explains its fields.
type expected struct {
	Defaults map[string]string
	Cases    map[string]exception
}

// exception says how a case differs from the defaults.
type exception struct {
	Why      string
	Flags    map[string]string
	Keep     bool
	Hosts    map[string]string
	Mounts   map[string]string
	Unedited map[string]string
	// The flags that a patch brings, and that the file must not get.
	Absent  []string
	Refused string
}

// expectation is what one edit must achieve.
type expectation struct {
	flags map[string]string
	keep  bool
	// The paths of the container that have another path on the host, with that path.
	hosts map[string]string
	// The further paths of the host that the API server must see, each with the type of its volume.
	mounts map[string]string
	absent []string
	// Did the same run replace the content of the policy? An API server reads its policy only once.
	policyReplaced bool
}

func readExpected(text []byte) (all expected, err error) {
	if err := goyaml.UnmarshalStrict(text, &all); err != nil {
		return all, err
	}
	if len(all.Defaults) == 0 {
		return all, fmt.Errorf("there are no defaults")
	}
	for name, one := range all.Cases {
		if one.Why == "" {
			return all, fmt.Errorf("%s: say why it differs", name)
		}
		for flag, value := range one.Flags {
			if all.Defaults[flag] == value {
				return all, fmt.Errorf("%s: --%s is the default; remove it", name, flag)
			}
		}
	}
	return all, nil
}

// of returns what the edits of a case must achieve. The name "" stands for no case.
func (all expected) of(name string) expectation {
	flags := map[string]string{}
	for _, some := range []map[string]string{all.Defaults, all.Cases[name].Flags} {
		for flag, value := range some {
			flags[flag] = value
		}
	}
	one := all.Cases[name]
	for _, flag := range one.Absent {
		delete(flags, flag)
	}
	return expectation{flags: flags, keep: one.Keep, hosts: one.Hosts, mounts: one.Mounts, absent: one.Absent}
}

// isWanted returns true for a flag that the edit sets.
func (want expectation) isWanted(name string) bool { _, ok := want.flags[flagName(name)]; return ok }

// served is a path of the host that the API server must find at the same path in its container.
type served struct {
	path, kind string
	readOnly   bool
}

func (want expectation) served() []served {
	var all []served
	if policy, ok := want.flags["audit-policy-file"]; ok {
		all = append(all, served{policy, "File", true})
	}
	if directory := want.logDirectory(); directory != "" {
		all = append(all, served{directory, "DirectoryOrCreate", false})
	}
	if config, ok := want.flags["audit-webhook-config-file"]; ok {
		all = append(all, served{config, "File", true})
	}
	for at, kind := range want.mounts {
		all = append(all, served{at, kind, true})
	}
	return all
}

// servedAt returns what is served at a path, or nil if it is not one of the API server's paths.
func (want expectation) servedAt(at string) *served {
	for _, one := range want.served() {
		if one.path == at {
			return &one
		}
	}
	return nil
}

// onHost returns the path on the host of what the API server sees at a path, or "" if it is not of the host.
func (want expectation) onHost(at string) string {
	if other, ok := want.hosts[at]; ok {
		return other
	}
	return at
}

// logDirectory returns "" if the log goes to standard output.
func (want expectation) logDirectory() string {
	if file := want.flags["audit-log-path"]; file != "-" {
		return path.Dir(file)
	}
	return ""
}
