// Commands says how kube-apiserver and kubeadm read their arguments, by their own commands and flags; nothing runs. It
// reads one question a line from stdin, and writes one answer a line to stdout, both in JSON.
//
//	go build -C ../../components/kubernetes-1.37.2 -o OUT "$PWD/main.go"
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/klog/v2"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	"k8s.io/kubernetes/cmd/kubeadm/app/apis/kubeadm/validation"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app/cmd"
)

// A question is about the arguments of one of the two programs, or else about the API server's flags without a value.
type question struct {
	Apiserver, Kubeadm []string
}

type answer struct {
	// Why the program ends.
	Error string `json:"error,omitempty"`
	// Does kubeadm refuse the flags beside --config?
	Mixed bool `json:"mixed,omitempty"`
	// The names of the command and of the commands above it.
	Command string `json:"command,omitempty"`
	// The last value of each flag that is given.
	Flags map[string]string `json:"flags"`
	// The flags that take no next word.
	Switches []string `json:"switches,omitempty"`
}

// A word stands for the value of any flag. Whether the value fits is not asked here.
type word struct{ text string }

func (w *word) String() string         { return w.text }
func (w *word) Set(value string) error { w.text = value; return nil }
func (w *word) Type() string           { return "word" }

func given(set *pflag.FlagSet) map[string]string {
	flags := map[string]string{}
	set.Visit(func(flag *pflag.Flag) { flags[flag.Name] = flag.Value.String() })
	return flags
}

// AskApiserver parses with flags of the same names and shorthands as the real ones, because those of a command can be
// parsed only once.
func askApiserver(real *pflag.FlagSet, arguments []string) answer {
	command := &cobra.Command{
		Use: "kube-apiserver", SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, words []string) error {
			for _, word := range words {
				if len(word) > 0 {
					return fmt.Errorf("it takes no arguments, and got %q", words)
				}
			}
			return nil
		},
	}
	real.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "help" {
			return // cobra adds its own
		}
		command.Flags().AddFlag(&pflag.Flag{
			Name: flag.Name, Shorthand: flag.Shorthand, NoOptDefVal: flag.NoOptDefVal, Value: &word{},
		})
	})
	command.SetGlobalNormalizationFunc(cliflag.WordSepNormalizeFunc)
	var result answer
	command.RunE = func(command *cobra.Command, _ []string) error {
		result.Flags = given(command.Flags())
		return nil
	}
	command.SetHelpFunc(func(*cobra.Command, []string) { result.Error = "it prints its help" })
	command.CompletionOptions.DisableDefaultCmd = true
	command.SetOut(io.Discard)
	command.SetErr(io.Discard)
	command.SetArgs(arguments)
	if err := command.Execute(); err != nil {
		result.Error = err.Error()
	}
	return result
}

func askKubeadm(arguments []string) answer {
	var result answer
	root := kubeadm.NewKubeadmCommand(strings.NewReader(""), io.Discard, io.Discard)
	record(root, &result)
	root.SilenceErrors = true
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	root.SetHelpFunc(func(*cobra.Command, []string) { result.Error = "it prints its help" })
	root.SetArgs(arguments)
	if err := root.Execute(); err != nil {
		result.Error = err.Error()
	}
	return result
}

// Record replaces what the commands do.
func record(command *cobra.Command, result *answer) {
	command.PersistentPreRun, command.PersistentPreRunE, command.PreRun, command.PreRunE = nil, nil, nil, nil
	command.PostRun, command.PostRunE, command.PersistentPostRun, command.PersistentPostRunE = nil, nil, nil, nil
	if command.Run != nil || command.RunE != nil {
		command.Run = nil
		command.RunE = func(command *cobra.Command, _ []string) error {
			result.Command, result.Flags = command.CommandPath(), given(command.Flags())
			// An upgrade asks this only since 1.31, in the function that is replaced here.
			result.Mixed = validation.ValidateMixedArguments(command.Flags()) != nil
			return nil
		}
	}
	for _, child := range command.Commands() {
		record(child, result)
	}
}

func main() {
	// The API server's flags first: some of them are in the set that is exchanged below.
	real := apiserver.NewAPIServerCommand().Flags()
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	// As kubeadm's own main does.
	var all flag.FlagSet
	klog.InitFlags(&all)
	pflag.CommandLine = pflag.NewFlagSet("kubeadm", pflag.ContinueOnError)
	pflag.CommandLine.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	for _, name := range []string{"v", "vmodule"} {
		pflag.CommandLine.AddGoFlag(all.Lookup(name))
	}
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
		var result answer
		switch {
		case q.Apiserver != nil:
			result = askApiserver(real, q.Apiserver)
		case q.Kubeadm != nil:
			result = askKubeadm(q.Kubeadm)
		default:
			real.VisitAll(func(flag *pflag.Flag) {
				if flag.NoOptDefVal != "" {
					result.Switches = append(result.Switches, flag.Name)
				}
			})
		}
		if err := out.Encode(result); err != nil {
			log.Fatal(err)
		}
	}
}
