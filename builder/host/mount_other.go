//go:build !linux

package host

import "errors"

var errNotLinux = errors.New("mounting: this is not Linux: run riscv-build on Linux")

func tryOverlay(string) error { return errNotLinux }

func mountBinfmt(string) error { return errNotLinux }
