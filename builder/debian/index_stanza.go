package debian

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds one line of a control file; the longest Provides of a real
// archive has some 40 kB.
const maxLine = 1 << 20

// stanzas reads Debian control data (deb822) and keeps only the fields that
// are wanted: an index has 50 MB of text of which a resolver needs a fifth.
// All values of a stanza share one allocation.
type stanzas struct {
	r     *bufio.Reader
	long  []byte         // a line that does not fit the reader's buffer
	want  map[string]int // lower-case name -> place in values
	buf   []byte
	ends  []span
	value []string
}

type span struct{ start, end int }

// newStanzas reads the named fields, given in lower case.
func newStanzas(r io.Reader, fields ...string) *stanzas {
	s := &stanzas{
		r:     bufio.NewReaderSize(r, 64<<10),
		want:  make(map[string]int, len(fields)),
		ends:  make([]span, len(fields)),
		value: make([]string, len(fields)),
	}
	for i, f := range fields {
		s.want[f] = i
	}
	return s
}

// next reads one stanza: the values in the order of the fields, "" for an
// absent one, continuation lines joined by newlines. The slice is valid until
// the next call. It ends with io.EOF.
func (s *stanzas) next() ([]string, error) {
	s.buf = s.buf[:0]
	clear(s.ends)
	current, lines := -1, 0
	for {
		line, err := s.readLine()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		atEnd := err != nil
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.TrimSpace(line)) == 0 {
			if lines > 0 {
				return s.take(), nil
			}
			if atEnd {
				return nil, io.EOF
			}
			continue
		}
		if line[0] != '#' {
			lines++
			if current, err = s.line(line, current); err != nil {
				return nil, err
			}
		}
		if atEnd {
			if lines > 0 {
				return s.take(), nil
			}
			return nil, io.EOF
		}
	}
}

// readLine gives a line with its end, in a buffer that the next call reuses.
func (s *stanzas) readLine() ([]byte, error) {
	part, err := s.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return part, err
	}
	s.long = s.long[:0]
	for {
		s.long = append(s.long, part...)
		if len(s.long) > maxLine {
			return nil, fmt.Errorf("reading control data: a line is longer than %d bytes", maxLine)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return s.long, err
		}
		part, err = s.r.ReadSlice('\n')
	}
}

// line takes one line; current is the place of the field it may continue, -1 for none.
func (s *stanzas) line(line []byte, current int) (int, error) {
	if line[0] == ' ' || line[0] == '\t' {
		if current >= 0 {
			s.buf = append(s.buf, '\n')
			s.buf = append(s.buf, bytes.TrimSpace(line)...)
			s.ends[current].end = len(s.buf)
		}
		return current, nil
	}
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return -1, fmt.Errorf("reading control data: line %.60q is neither a field nor its continuation", line)
	}
	name := line[:colon]
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			name[i] = c + 'a' - 'A'
		}
	}
	place, ok := s.want[string(name)]
	if !ok {
		return -1, nil
	}
	start := len(s.buf)
	s.buf = append(s.buf, bytes.TrimSpace(line[colon+1:])...)
	s.ends[place] = span{start, len(s.buf)}
	return place, nil
}

func (s *stanzas) take() []string {
	all := string(s.buf)
	for i, e := range s.ends {
		s.value[i] = all[e.start:e.end]
	}
	return s.value
}
