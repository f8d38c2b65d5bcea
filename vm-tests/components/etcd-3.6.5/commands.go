//go:build commands

// Package commands names the programs that are built from this module.
package commands

import (
	_ "go.etcd.io/etcd/server/v3"
)
