package fetch

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// listed is how many blobs an error text names before it counts the rest.
const listed = 10

// Attempt is one address that was tried and why it did not give the blob.
type Attempt struct {
	URL string
	Err error
}

// GoneError says that every address of these blobs answered 404 or 410: the
// bytes have left the servers, and the caller may resolve anew.
type GoneError struct {
	Blobs []Blob
	Tried map[digest.Digest][]Attempt
}

// Error lists every blob with every address tried, one line each.
func (e *GoneError) Error() string {
	var b strings.Builder
	for i, blob := range e.Blobs {
		if i == listed {
			fmt.Fprintf(&b, "and %d more files\n", len(e.Blobs)-listed)
			break
		}
		describe(&b, blob, e.Tried[blob.Digest])
	}
	b.WriteString("no server has these bytes any more: add a mirror that does, or run `riscv-build lock --update`")
	return b.String()
}

// NetworkError says that a blob could not be downloaded although it may exist:
// servers out of reach, broken, or giving other bytes. Exit code 4.
type NetworkError struct {
	Blob  Blob
	Tried []Attempt
}

// Error lists every address tried with its cause, one line each.
func (e *NetworkError) Error() string {
	var b strings.Builder
	describe(&b, e.Blob, e.Tried)
	b.WriteString("check the network and the mirrors, then run the command again: what has arrived is kept")
	return b.String()
}

// Unwrap gives the causes.
func (e *NetworkError) Unwrap() []error {
	errs := make([]error, 0, len(e.Tried))
	for _, a := range e.Tried {
		errs = append(errs, a.Err)
	}
	return errs
}

// describe writes what was wanted and what each address said.
func describe(b *strings.Builder, blob Blob, tried []Attempt) {
	fmt.Fprintf(b, "downloading %q (%s):\n", blob.Name, blob.Digest)
	if len(tried) == 0 {
		b.WriteString("  no address is known for it\n")
	}
	for _, a := range tried {
		fmt.Fprintf(b, "  %s: %s\n", a.URL, a.Err)
	}
}

// OfflineError lists the blobs that are missing in offline mode.
type OfflineError struct{ Missing []Blob }

// Error lists what is missing, one line each.
func (e *OfflineError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "looking for %d files in the content store while offline: missing\n", len(e.Missing))
	for i, blob := range e.Missing {
		if i == listed {
			fmt.Fprintf(&b, "  and %d more\n", len(e.Missing)-listed)
			break
		}
		fmt.Fprintf(&b, "  %q (%s)\n", blob.Name, blob.Digest)
	}
	b.WriteString("run `riscv-build fetch` while there is a network")
	return b.String()
}

// SpaceError says that the disk of the content store is full. Exit code 3.
type SpaceError struct {
	Dir  string
	Name string
	Need int64 // bytes; 0: not known
	Free int64 // bytes; -1: not known
	Err  error // nil: noticed before anything was written
}

// Error names the directory and the free space.
func (e *SpaceError) Error() string {
	msg := fmt.Sprintf("storing %q in %q: no space left on the disk", e.Name, e.Dir)
	switch {
	case e.Free >= 0 && e.Need > 0:
		msg += fmt.Sprintf(" (%s free, %s needed)", megabytes(e.Free), megabytes(e.Need))
	case e.Free >= 0:
		msg += fmt.Sprintf(" (%s free)", megabytes(e.Free))
	}
	return msg + ": free some, run `riscv-build cache prune`, or choose another disk with --state-dir; the next run goes on from here"
}

// Unwrap gives the cause.
func (e *SpaceError) Unwrap() error { return e.Err }

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// noSpace says whether a write ended because the disk or the quota is full.
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// freeBytes is what an ordinary user can still write below dir; -1: unknown.
func freeBytes(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * int64(st.Bsize)
}
