#!/usr/bin/env bash
# Pins the Go modules of one Kubernetes version: pin.sh 1.37.2 writes kubernetes-1.37.2/{go.mod,go.sum,commands.go}.
# Run it once for a new version of the harness, and commit the result, so that a build looks nothing up.
#
# k8s.io/kubernetes can't be a dependency as it is: its go.mod replaces the staging repositories by folders that a module
# doesn't have. Here each of them gets its own published version, or the nearest older patch if the proxy lacks that.
set -euo pipefail
version=${1:?usage: pin.sh VERSION, such as 1.37.2}
cd "$(dirname "$0")"
export GOTOOLCHAIN=local GOFLAGS=-mod=mod GONOSUMDB='k8s.io/*'
minor=${version#1.}
patch=${minor#*.}
minor=${minor%.*}

upstream=$(cd / && go mod download -json "k8s.io/kubernetes@v$version" | sed -nE 's/^\s*"Dir": "(.*)",$/\1/p')/go.mod
folder=kubernetes-$version
mkdir -p "$folder"
cd "$folder"

# published MODULE: the newest published patch of a staging repository that isn't newer than this version.
published() {
    local p
    for ((p = patch; p >= 0; p--)); do
        (cd / && go mod download "$1@v0.$minor.$p") 2>/dev/null && echo "v0.$minor.$p" && return
    done
    echo "no version v0.$minor.0 to v0.$minor.$patch of $1 is published: choose a newer patch of Kubernetes" >&2
    return 1
}

{
    printf 'module kubernetes\n\n'
    grep -E '^(go|godebug) ' "$upstream"
    sed -n '/^godebug ($/,/^)$/p' "$upstream"
    printf '\nrequire k8s.io/kubernetes v%s\n\nreplace (\n' "$version"
    for module in $(sed -nE 's#^\s*(replace )?(k8s.io/[a-z0-9-]+) => \./staging/.*#\2#p' "$upstream"); do
        case $module in
            k8s.io/sample-*) echo "$module => $module v0.$minor.0" ;; # nothing imports it, so any version will do
            *) echo "$module => $module $(published "$module")" ;;
        esac
    done
    echo ')'
} >go.mod
{
    printf '%s\n' '//go:build commands' '' '// Package commands names the programs that are built from this module.' \
        'package commands' '' 'import ('
    for c in kube-apiserver kube-controller-manager kube-scheduler kubeadm kubectl kubelet; do
        printf '\t_ "k8s.io/kubernetes/cmd/%s"\n' "$c"
    done
    echo ')'
} >commands.go
go mod tidy -e
