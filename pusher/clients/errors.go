package clients

import "fmt"

// RequestError is a request that makes no sense, or that a client has no
// setting for.
type RequestError struct{ text string }

func (e *RequestError) Error() string { return e.text }

func requestf(format string, args ...any) error {
	return &RequestError{fmt.Sprintf(format, args...)}
}

// FileError is a configuration file that cannot be merged with: it is wrong,
// or what it says contradicts the registry's settings. Nothing was written.
type FileError struct {
	Path   string // as the client knows it, without the root directory
	Line   int    // 0: the file as a whole
	Err    error
	Advice string
}

func (e *FileError) Error() string {
	at := fmt.Sprintf("%q", e.Path)
	if e.Line > 0 {
		at = fmt.Sprintf("%q line %d", e.Path, e.Line)
	}
	return fmt.Sprintf("merging with %s: %v: %s", at, e.Err, e.Advice)
}

func (e *FileError) Unwrap() error { return e.Err }

// AccessError is a file that this user cannot read or write.
type AccessError struct {
	Op, Path string
	Err      error
	Done     []string // files that were written before
}

func (e *AccessError) Error() string {
	text := fmt.Sprintf("%s %q: %v: run it as a user who may, as root for files below /etc, or without --write", e.Op, e.Path, e.Err)
	if len(e.Done) > 0 {
		text += fmt.Sprintf("; already written: %q", e.Done)
	}
	return text
}

func (e *AccessError) Unwrap() error { return e.Err }
