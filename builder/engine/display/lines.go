package display

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// lineWriter writes whole lines, so that lines of several writers stay whole.
type lineWriter struct {
	mu      sync.Mutex
	w       io.Writer
	partial []byte
	err     error // the first one; a display that cannot write stays silent
}

// Write writes the complete lines of what it got so far.
func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.partial = append(l.partial, p...)
	if end := bytes.LastIndexByte(l.partial, '\n'); end >= 0 {
		l.write(l.partial[:end+1])
		l.partial = append(l.partial[:0], l.partial[end+1:]...)
	}
	return len(p), nil
}

// line writes a line of its own, never inside another.
func (l *lineWriter) line(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write([]byte(text + "\n"))
}

// finish ends a line that was left incomplete.
func (l *lineWriter) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.partial) > 0 {
		l.write(append(l.partial, '\n'))
		l.partial = l.partial[:0]
	}
}

func (l *lineWriter) write(p []byte) {
	if l.err == nil {
		_, l.err = l.w.Write(p)
	}
}

func (l *lineWriter) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return fmt.Errorf("writing the progress: %w", l.err)
	}
	return nil
}
