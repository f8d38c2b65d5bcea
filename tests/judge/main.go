// Command judge decides whether an edit of a kubeadm file or of a static pod manifest is right: the file before,
// plus auditing, and nothing else. It shares no code with the program that it judges, and reads YAML with the reader
// that Kubernetes uses.
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

edit    compares two versions of one file, with the settings that are the default. Prints the changed lines and
        what is wrong. Exit 0: right, 1: wrong.
cases   judges each kubeadm file and manifest of each case in DIR, before against after, as tests/cases has them.
shapes  runs every kubeadm file of DIR's folders through the program; it must edit each, and rightly.
corpus  runs every file of DIR through the program and judges what it did. Exit 0: nothing wrong, 1: something is.
        DIR has the folders kubeadm, kubeadm-bad, manifests, manifests-bad, policies, policies-bad, ordinary and
        adversarial, or some of them, and may have an INDEX.tsv with the columns "file" and "note". In the last two
        a file kapi_* is a manifest and any other a kubeadm file.
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
