// Reads the output of `render` with Butane, Cluster API, and BuildKit's parser of Dockerfiles.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/blang/semver/v4"
	"github.com/coreos/butane/config"
	"github.com/coreos/butane/config/common"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	"sigs.k8s.io/cluster-api/bootstrap/kubeadm/pkg/cloudinit"
	"sigs.k8s.io/cluster-api/bootstrap/kubeadm/pkg/types"
	"sigs.k8s.io/cluster-api/bootstrap/kubeadm/pkg/types/upstream"
	"sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "butane":
		return butane(input)
	case len(args) == 1 && args[0] == "dockerfile":
		return dockerfile(input)
	case len(args) == 2 && args[0] == "kubeadm":
		return kubeadm(input, args[1])
	case len(args) == 2 && args[0] == "user-data":
		return userData(input, args[1])
	}
	return errors.New("usage: examples butane | dockerfile | kubeadm VERSION | user-data VERSION < FILE")
}

// butane prints the Ignition config of a Butane config, as `butane --strict` does.
func butane(input []byte) error {
	output, report, err := config.TranslateBytes(input, common.TranslateBytesOptions{Pretty: true})
	if err == nil && len(report.Entries) > 0 {
		err = errors.New("strict: there are warnings")
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, report.String())
	}
	_, err = fmt.Println(string(output))
	return err
}

// dockerfile prints the sources and the target of each COPY of a Dockerfile.
func dockerfile(input []byte) error {
	result, err := parser.Parse(bytes.NewReader(input))
	if err != nil {
		return err
	}
	if len(result.Warnings) > 0 {
		return fmt.Errorf("%v", result.Warnings)
	}
	stages, _, err := instructions.Parse(result.AST, nil)
	if err != nil {
		return err
	}
	for _, stage := range stages {
		for _, command := range stage.Commands {
			if copied, ok := command.(*instructions.CopyCommand); ok {
				fmt.Println(copied.SourcePaths, copied.DestPath)
			}
		}
	}
	return nil
}

// controlPlane reads a KubeadmControlPlane as strictly as the API server of a management cluster.
func controlPlane(input []byte) (*bootstrapv1.KubeadmConfigSpec, error) {
	var object controlplanev1.KubeadmControlPlane
	if err := yaml.UnmarshalStrict(input, &object); err != nil {
		return nil, err
	}
	if object.APIVersion != controlplanev1.GroupVersion.String() || object.Kind != "KubeadmControlPlane" {
		return nil, fmt.Errorf("%s %s", object.APIVersion, object.Kind)
	}
	return &object.Spec.KubeadmConfigSpec, nil
}

// clusterConfiguration returns the ClusterConfiguration that Cluster API makes for a version of Kubernetes.
func clusterConfiguration(spec *bootstrapv1.KubeadmConfigSpec, version string) (string, error) {
	parsed, err := semver.Parse(version)
	if err != nil {
		return "", err
	}
	named := "v" + version
	return types.MarshalClusterConfigurationForVersion(&spec.ClusterConfiguration, parsed, &upstream.AdditionalData{KubernetesVersion: &named})
}

func kubeadm(input []byte, version string) error {
	spec, err := controlPlane(input)
	if err != nil {
		return err
	}
	text, err := clusterConfiguration(spec, version)
	if err != nil {
		return err
	}
	_, err = fmt.Print(text)
	return err
}

// userData prints the user-data that Cluster API gives to the first control plane.
func userData(input []byte, version string) error {
	spec, err := controlPlane(input)
	if err != nil {
		return err
	}
	cluster, err := clusterConfiguration(spec, version)
	if err != nil {
		return err
	}
	data, err := cloudinit.NewInitControlPlane(&cloudinit.ControlPlaneInput{
		BaseUserData: cloudinit.BaseUserData{
			AdditionalFiles:    spec.Files,
			PreKubeadmCommands: spec.PreKubeadmCommands,
		},
		ClusterConfiguration: cluster,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, bytes.NewReader(data))
	return err
}
