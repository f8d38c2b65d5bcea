// Kubelet says whether the kubelet runs the pod of a static pod manifest, by the code that the kubelet itself uses
// (pkg/kubelet/config/common.go). It reads one manifest a line from stdin, as a string in JSON, and writes one answer a
// line to stdout. With the argument `fields`, it prints the fields of a pod and their types instead.
//
//	go build -C ../../components/kubernetes-1.37.2 -o OUT "$PWD/main.go"
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"reflect"
	"sort"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/capabilities"
)

type answer struct {
	// Why the kubelet runs no pod from this manifest.
	Error string `json:"error,omitempty"`
}

const node = "node"

// Decide does what tryDecodeSinglePod and applyDefaults do, which are not exported.
func decide(text string) error {
	data, err := yaml.ToJSON([]byte(text))
	if err != nil {
		return err
	}
	object, err := runtime.Decode(legacyscheme.Codecs.UniversalDecoder(), data)
	if err != nil {
		return err
	}
	pod, ok := object.(*core.Pod)
	if !ok {
		return fmt.Errorf("no pod, but %T", object)
	}
	if pod.Name == "" {
		return fmt.Errorf("name is needed for the pod")
	}
	pod.Name += "-" + node
	if pod.Namespace == "" {
		pod.Namespace = metav1.NamespaceDefault
	}
	pod.Spec.NodeName = node
	if pod.UID == "" {
		pod.UID = "uid"
	}
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations["kubernetes.io/config.hash"] = string(pod.UID)
	pod.Status.Phase = core.PodPending
	options := podutil.GetValidationOptionsFromPodSpecAndMeta(&pod.Spec, nil, &pod.ObjectMeta, nil)
	if faults := validation.ValidatePodCreate(pod, options); len(faults) > 0 {
		return faults.ToAggregate()
	}
	_, reference, err := podutil.HasAPIObjectReference(pod)
	if err == nil && reference != "" {
		err = fmt.Errorf("static pods may not reference %s", reference)
	}
	return err
}

// Fields collects the fields of a type, and of the types in it: type and field, and how the field is read.
func fields(of reflect.Type, lines map[string]string) {
	for i := 0; i < of.NumField(); i++ {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			// An embedded type. Its fields are those of the outer type.
			inner := map[string]string{}
			fields(field.Type, inner)
			for key, kind := range inner {
				if rest, found := strings.CutPrefix(key, field.Type.Name()+"\t"); found {
					lines[of.Name()+"\t"+rest] = kind
				} else {
					lines[key] = kind
				}
			}
			continue
		}
		// Nobody writes these, and they have many fields.
		switch name {
		case "status":
			lines[of.Name()+"\t"+name] = "mapping"
			continue
		case "managedFields":
			lines[of.Name()+"\t"+name] = "list mapping"
			continue
		}
		lines[of.Name()+"\t"+name] = kind(field.Type, lines)
	}
}

func kind(of reflect.Type, lines map[string]string) string {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch of {
	case reflect.TypeFor[resource.Quantity]():
		return "quantity"
	case reflect.TypeFor[intstr.IntOrString]():
		return "int-or-string"
	case reflect.TypeFor[metav1.Time]():
		return "time"
	}
	switch of.Kind() {
	case reflect.Slice:
		return "list " + kind(of.Elem(), lines)
	case reflect.Map:
		return "map " + kind(of.Elem(), lines)
	case reflect.Struct:
		if _, known := lines[of.Name()+"\t"]; !known {
			lines[of.Name()+"\t"] = ""
			fields(of, lines)
		}
		return of.Name()
	default:
		return of.Kind().String()
	}
}

func printFields() {
	lines := map[string]string{}
	kind(reflect.TypeFor[v1.Pod](), lines)
	var sorted []string
	for key, kind := range lines {
		if kind != "" {
			sorted = append(sorted, key+"\t"+kind)
		}
	}
	sort.Strings(sorted)
	of := ""
	for _, line := range sorted {
		words := strings.Split(line, "\t")
		if words[0] != of {
			of = words[0]
			fmt.Println(of)
		}
		fmt.Printf(" %s %s\n", words[1], words[2])
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "fields" {
		printFields()
		return
	}
	// As the kubelet does.
	capabilities.Initialize(capabilities.Capabilities{AllowPrivileged: true})
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return
		}
		var manifest string
		if err == nil {
			err = json.Unmarshal(line, &manifest)
		}
		if err != nil {
			log.Fatal(err)
		}
		result := answer{}
		if err := decide(manifest); err != nil {
			result.Error = err.Error()
		}
		if err := out.Encode(result); err != nil {
			log.Fatal(err)
		}
	}
}
