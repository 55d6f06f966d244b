package debian

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Kind says what is wrong with a file of an archive. The order is that of
// weight: of several failures the first kind is reported first.
type Kind int

// The kinds of ArchiveError.
const (
	NotYetValid  Kind = iota + 1 // its date lies in the future: the clock of this machine is wrong
	Expired                      // its Valid-Until has passed
	BadSignature                 // signed, but by no key of the keyring, or altered
	Unsigned                     // not a clear-signed message
	HashMismatch                 // not the bytes that the signed Release names
	Truncated                    // shorter than announced
	TooLarge                     // longer than announced or allowed
	Malformed                    // signed, yet not readable
	Missing                      // the signed Release does not list it
	Stalled                      // the server stopped sending
	NotFound                     // HTTP 404 or 410
	Unreachable                  // no connection, or another HTTP status
)

var kinds = map[Kind]struct{ what, advice string }{
	NotYetValid:  {"is dated in the future", "set the clock of this machine (boards without a battery clock start in the past)"},
	Expired:      {"has expired", "use a mirror that is in sync (--mirror), or accept it with allow_expired = true in [debian] or --allow-expired"},
	BadSignature: {"has no valid signature", "do not use this mirror; if the archive has new keys, name its keyring with --keyring"},
	Unsigned:     {"is not signed", "check that the URL is a Debian archive and that no proxy or login page answers for it"},
	HashMismatch: {"has the wrong content", "the mirror is in the middle of a sync or alters files: try again later or name another mirror with --mirror"},
	Truncated:    {"is incomplete", "try again, or name another mirror with --mirror"},
	TooLarge:     {"is larger than it may be", "name another mirror with --mirror"},
	Malformed:    {"cannot be read", "name another mirror with --mirror"},
	Missing:      {"is not in this suite", "choose a suite that has it (riscv64 is in trixie and later)"},
	Stalled:      {"stopped arriving", "check the network, or name another mirror with --mirror"},
	NotFound:     {"is not on this mirror", "check suite and mirror, or name another mirror with --mirror"},
	Unreachable:  {"cannot be fetched", "check the network and proxy settings, or name another mirror with --mirror"},
}

// ArchiveError is one file of an archive that cannot be used.
type ArchiveError struct {
	Kind     Kind
	URL      string
	File     string // path inside the archive, e.g. dists/trixie/InRelease
	Expected string // what the signed Release or the server announced; may be empty
	Got      string
	Err      error // cause, may be nil
}

// Error names file, URL, what was expected, what came and what to do.
func (e *ArchiveError) Error() string { return e.text() + ": " + kinds[e.Kind].advice }

func (e *ArchiveError) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "reading %q of the archive: %s %s", e.File, e.URL, kinds[e.Kind].what)
	if e.Expected != "" {
		fmt.Fprintf(&b, ": expected %s", e.Expected)
	}
	if e.Got != "" {
		fmt.Fprintf(&b, ", got %s", e.Got)
	}
	if e.Err != nil {
		fmt.Fprintf(&b, ": %v", e.Err)
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *ArchiveError) Unwrap() error { return e.Err }

// ExitCode is the exit status of the program: 3 where this machine is at
// fault, else 4.
func (e *ArchiveError) ExitCode() int {
	if e.Kind == NotYetValid {
		return 3
	}
	return 4
}

// SuiteError says why no release directory of a suite could be used: one
// ArchiveError for each that was tried, the weightiest first.
type SuiteError struct {
	Suite   string
	Archive string
	Tries   []*ArchiveError
}

func newSuiteError(s suite, tries []*ArchiveError) *SuiteError {
	tries = slices.Clone(tries)
	slices.SortStableFunc(tries, func(a, b *ArchiveError) int { return cmp.Compare(a.Kind, b.Kind) })
	return &SuiteError{Suite: s.name, Archive: s.archive, Tries: tries}
}

// Error tells every try and ends with what to do about the weightiest.
func (e *SuiteError) Error() string {
	if len(e.Tries) == 0 {
		return fmt.Sprintf("opening suite %q of archive %s: no mirror is known: name one with --mirror", e.Suite, e.Archive)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "opening suite %q of archive %s: no release directory is usable:", e.Suite, e.Archive)
	for _, t := range e.Tries {
		b.WriteString("\n  " + strings.TrimPrefix(t.text(), "reading "))
	}
	b.WriteString("\n  " + kinds[e.Tries[0].Kind].advice)
	return b.String()
}

// Unwrap gives the tries, the weightiest first, so that errors.As finds it.
func (e *SuiteError) Unwrap() []error {
	out := make([]error, len(e.Tries))
	for i, t := range e.Tries {
		out[i] = t
	}
	return out
}

// ExitCode is that of the weightiest try; 4 if there was none.
func (e *SuiteError) ExitCode() int {
	if len(e.Tries) == 0 {
		return 4
	}
	return e.Tries[0].ExitCode()
}
