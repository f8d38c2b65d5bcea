// Oracle says what the API server does with an audit policy, with audit flags or with the kubeconfig of an audit
// webhook, by the API server's own code. It reads one question a line from stdin, and writes one answer a line to stdout, both in JSON. It is built with the modules of
// one version of Kubernetes:
//
//	go build -C ../components/kubernetes-1.37.2 -o OUT "$PWD/main.go"
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/util/webhook"
	pluginwebhook "k8s.io/apiserver/plugin/pkg/audit/webhook"
	// kube-apiserver has these, too.
	_ "k8s.io/client-go/plugin/pkg/client/auth"
	"k8s.io/klog/v2"
)

// A question is about the text of a policy and requests that it decides on, about a kubeconfig and the files beside
// it, or else about flags.
type question struct {
	Policy     *string
	Requests   []request
	Kubeconfig *string
	Files      map[string]string
	Flags      []string
}

type request struct {
	User                                    string
	Groups                                  []string
	Verb                                    string
	ResourceRequest                         bool
	Namespace, Group, Resource, Subresource string
	Name, Path                              string
}

type answer struct {
	// Why the API server would not start.
	Error string `json:"error,omitempty"`
	// The API server starts, but reads the policy leniently, and says so in its log.
	Lenient   bool       `json:"lenient,omitempty"`
	Decisions []decision `json:"decisions,omitempty"`
}

type decision struct {
	Level             string   `json:"level"`
	OmitStages        []string `json:"omitStages"`
	OmitManagedFields bool     `json:"omitManagedFields"`
}

// The log of the loader. Nothing else tells that the loader fell back to lenient decoding.
var klogged bytes.Buffer

func askPolicy(text string, requests []request) answer {
	klogged.Reset()
	loaded, err := policy.LoadPolicyFromBytes([]byte(text))
	if err != nil {
		return answer{Error: err.Error()}
	}
	result := answer{Lenient: strings.Contains(klogged.String(), "falling back to lenient decoding")}
	evaluator := policy.NewPolicyRuleEvaluator(loaded)
	for _, r := range requests {
		config := evaluator.EvaluatePolicyRule(&authorizer.AttributesRecord{
			User:            &user.DefaultInfo{Name: r.User, Groups: r.Groups},
			Verb:            r.Verb,
			Namespace:       r.Namespace,
			APIGroup:        r.Group,
			Resource:        r.Resource,
			Subresource:     r.Subresource,
			Name:            r.Name,
			ResourceRequest: r.ResourceRequest,
			Path:            r.Path,
		})
		stages := []string{}
		for _, stage := range config.OmitStages {
			stages = append(stages, string(stage))
		}
		result.Decisions = append(result.Decisions, decision{string(config.Level), stages, config.OmitManagedFields})
	}
	return result
}

func askFlags(flags []string) answer {
	set := pflag.NewFlagSet("kube-apiserver", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	audit := options.NewAuditOptions()
	audit.AddFlags(set)
	if err := set.Parse(flags); err != nil {
		return answer{Error: err.Error()}
	}
	for _, err := range audit.Validate() {
		return answer{Error: err.Error()}
	}
	// ApplyTo also refuses this. What else it refuses is in files that it opens.
	if _, err := schema.ParseGroupVersion(audit.WebhookOptions.GroupVersionString); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{}
}

// The folder of a kubeconfig and the files that it names.
var folder string

func askKubeconfig(text string, files map[string]string) answer {
	path := filepath.Join(folder, "kubeconfig")
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}
	backoff := webhook.DefaultRetryBackoffWithInitialDelay(pluginwebhook.DefaultInitialBackoffDelay)
	_, err := pluginwebhook.NewBackend(path, schema.GroupVersion{Group: "audit.k8s.io", Version: "v1"}, backoff, nil)
	for name := range files {
		if err := os.Remove(filepath.Join(folder, name)); err != nil {
			log.Fatal(err)
		}
	}
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{}
}

func main() {
	var err error
	if folder, err = os.MkdirTemp("", "oracle"); err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	klog.LogToStderr(false)
	klog.SetOutput(&klogged)
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		var q question
		if err == nil {
			err = json.Unmarshal(line, &q)
		}
		if err != nil {
			log.Fatal(err)
		}
		result := answer{}
		if q.Policy != nil {
			result = askPolicy(*q.Policy, q.Requests)
		} else if q.Kubeconfig != nil {
			result = askKubeconfig(*q.Kubeconfig, q.Files)
		} else {
			result = askFlags(q.Flags)
		}
		if err := out.Encode(result); err != nil {
			log.Fatal(err)
		}
	}
}
