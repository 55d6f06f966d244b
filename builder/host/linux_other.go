//go:build !linux

package host

import (
	"errors"
	"time"
)

var errNotLinux = errors.New("this is not Linux: run riscv-build on Linux")

func tryOverlay(string) error { return errNotLinux }

func mountBinfmt(string) error { return errNotLinux }

func clockSynchronised() bool { return false }

func setTime(time.Time) error { return errNotLinux }

func kernelRelease() string { return "" }
