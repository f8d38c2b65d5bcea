// Command judge decides whether an edit of a kubeadm configuration file or of a static pod manifest is right: the
// edited file must be the original file with auditing, and nothing else. The judge shares no code with the program. It
// reads YAML with the reader that Kubernetes uses.
package main

import (
	"flag"
	"fmt"
	"os"
)

const usage = `usage: judge edit --kind kubeadm|manifest BEFORE AFTER
       judge cases DIR
       judge shapes --binary PROGRAM DIR
       judge corpus --binary PROGRAM DIR

edit    compares two versions of one file, for the default settings. It prints the changed lines and what is wrong.
        Exit 0: the edit is right, 1: it is wrong.
cases   judges each kubeadm file and manifest of each case in DIR, before against after, as in tests/cases.
shapes  runs the program on every kubeadm file in the folders of DIR. The program must edit each file correctly.
corpus  runs the program on every file of DIR and judges the result. Exit 0: nothing is wrong, 1: something is wrong.
        DIR has some of the folders kubeadm, kubeadm-bad, manifests, manifests-bad, policies, policies-bad, ordinary
        and adversarial. It can have an INDEX.tsv with the columns "file" and "note". In ordinary and adversarial,
        a file kapi_* is a manifest, and any other file is a kubeadm file.
`

func main() {
	if len(os.Args) < 2 {
		fail()
	}
	flags := flag.NewFlagSet("judge", flag.ExitOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	kind := flags.String("kind", "", "")
	binary := flags.String("binary", "", "")
	_ = flags.Parse(os.Args[2:])
	all, err := readExpected(expectedText)
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge: expected.yaml:", err)
		os.Exit(2)
	}
	good := true
	switch {
	case os.Args[1] == "edit" && flags.NArg() == 2 && (*kind == "kubeadm" || *kind == "manifest"):
		before, after := read(flags.Arg(0)), read(flags.Arg(1))
		verdict := judge(*kind, before, after, all.of(""))
		for _, line := range verdict.changed {
			fmt.Println(line)
		}
		fmt.Printf("%d lines added\n", verdict.added)
		for _, fault := range verdict.faults {
			fmt.Println("WRONG:", fault)
		}
		if good = len(verdict.faults) == 0; good {
			fmt.Println("right")
		}
	case os.Args[1] == "cases" && flags.NArg() == 1:
		good = cases(flags.Arg(0), all)
	case os.Args[1] == "shapes" && flags.NArg() == 1 && *binary != "":
		good = shapes(*binary, flags.Arg(0), all.of(""))
	case os.Args[1] == "corpus" && flags.NArg() == 1 && *binary != "":
		good = corpus(*binary, flags.Arg(0), all.of(""))
	default:
		fail()
	}
	if !good {
		os.Exit(1)
	}
}

func fail() {
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
}

func read(path string) string {
	bytes, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(2)
	}
	return string(bytes)
}
