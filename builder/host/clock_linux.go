package host

import (
	"time"

	"golang.org/x/sys/unix"
)

// Of the kernel's timex.h.
const (
	staUnsync = 0x40
	timeError = 5
)

// clockSynchronised says whether a time service keeps the clock right.
func clockSynchronised() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != timeError && t.Status&staUnsync == 0
}

func setTime(t time.Time) error {
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Settimeofday(&tv)
}

// kernelRelease is what uname -r prints.
func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
