//go:build commands

// Package commands names the programs that are built from this module.
package commands

import _ "sigs.k8s.io/kind"
