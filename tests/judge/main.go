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
       judge corpus --binary PROGRAM DIR

edit    compares two versions of one file. Prints the changed lines and what is wrong. Exit 0: right, 1: wrong.
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
	switch {
	case os.Args[1] == "edit" && flags.NArg() == 2 && (*kind == "kubeadm" || *kind == "manifest"):
		before, after := read(flags.Arg(0)), read(flags.Arg(1))
		verdict := judge(*kind, before, after)
		for _, line := range verdict.changed {
			fmt.Println(line)
		}
		fmt.Printf("%d lines added\n", verdict.added)
		for _, fault := range verdict.faults {
			fmt.Println("WRONG:", fault)
		}
		if len(verdict.faults) > 0 {
			os.Exit(1)
		}
		fmt.Println("right")
	case os.Args[1] == "corpus" && flags.NArg() == 1 && *binary != "":
		if !corpus(*binary, flags.Arg(0)) {
			os.Exit(1)
		}
	default:
		fail()
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
