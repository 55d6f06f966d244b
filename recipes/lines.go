package recipes

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// The TOML library tells the position of a syntax error but not the position
// of a key. This file finds the line of every key and array element of a
// document that the library has accepted, so it may assume correct syntax; on
// anything else it ends early, with the lines found so far.

// LineOf returns the line of a key path in lines, or of the nearest key above
// it that has one: a missing "image.file[1].path" is reported at its table.
func LineOf(lines map[string]int, path string) int {
	for path != "" {
		if n, ok := lines[path]; ok {
			return n
		}
		path = parentPath(path)
	}
	return 1
}

// parentPath cuts the last key or index off a path, minding quoted keys.
func parentPath(path string) string {
	end, quoted := 0, false
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '.' || c == '['):
			end = i
		}
	}
	return path[:end]
}

// JoinPath appends a key to a key path, quoting the key where TOML would.
func JoinPath(path, key string) string {
	if !isBareKey(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// IndexPath appends an array index to a key path.
func IndexPath(path string, i int) string {
	return path + "[" + strconv.Itoa(i) + "]"
}

func isBareKey(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isBareByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isBareByte(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// scanner walks over a TOML document and notes where keys stand.
type scanner struct {
	src    string
	pos    int
	line   int
	lines  map[string]int
	tables map[string]int // elements so far of each array of tables
}

// keyLines maps every key path of a TOML document to its line.
func keyLines(src string) map[string]int {
	s := &scanner{src: src, line: 1, lines: map[string]int{}, tables: map[string]int{}}
	table := ""
	for s.blank(true); s.pos < len(s.src); s.blank(true) {
		before := s.pos
		if s.peek() == '[' {
			table = s.header()
		} else {
			s.pair(table)
		}
		if s.pos == before {
			return s.lines
		}
	}
	return s.lines
}

func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

// next steps over one byte and counts lines.
func (s *scanner) next() {
	if s.peek() == '\n' {
		s.line++
	}
	if s.pos < len(s.src) {
		s.pos++
	}
}

// accept steps over c if it comes next.
func (s *scanner) accept(c byte) bool {
	if s.pos < len(s.src) && s.src[s.pos] == c {
		s.next()
		return true
	}
	return false
}

// blank steps over spaces and, if newlines is set, over line ends and comments.
func (s *scanner) blank(newlines bool) {
	for s.pos < len(s.src) {
		switch c := s.peek(); {
		case c == ' ' || c == '\t':
			s.next()
		case newlines && (c == '\n' || c == '\r'):
			s.next()
		case newlines && c == '#':
			for s.pos < len(s.src) && s.peek() != '\n' {
				s.next()
			}
		default:
			return
		}
	}
}

func (s *scanner) note(path string) {
	if _, ok := s.lines[path]; !ok {
		s.lines[path] = s.line
	}
}

// header reads "[a.b]" or "[[a.b]]" and returns the path of the table it opens.
func (s *scanner) header() string {
	s.next()
	array := s.accept('[')
	parts := s.key()
	path := ""
	for i, part := range parts {
		path = JoinPath(path, part)
		s.note(path)
		if array && i == len(parts)-1 {
			s.tables[path]++
		}
		if n := s.tables[path]; n > 0 {
			path = IndexPath(path, n-1)
			s.note(path)
		}
	}
	s.blank(false)
	s.accept(']')
	if array {
		s.accept(']')
	}
	return path
}

// pair reads "key = value" below the table.
func (s *scanner) pair(table string) {
	path := table
	for _, part := range s.key() {
		path = JoinPath(path, part)
		s.note(path)
	}
	s.blank(false)
	if s.accept('=') {
		s.blank(false)
		s.value(path)
	}
}

// key reads a dotted key.
func (s *scanner) key() []string {
	var parts []string
	for {
		s.blank(false)
		switch c := s.peek(); {
		case c == '"' || c == '\'':
			parts = append(parts, s.text())
		case isBareByte(c):
			start := s.pos
			for isBareByte(s.peek()) {
				s.pos++
			}
			parts = append(parts, s.src[start:s.pos])
		default:
			return parts
		}
		s.blank(false)
		if !s.accept('.') {
			return parts
		}
	}
}

// value steps over a value, noting keys and elements inside it.
func (s *scanner) value(path string) {
	switch s.peek() {
	case '"', '\'':
		s.text()
	case '[':
		s.list(path)
	case '{':
		s.inline(path)
	default:
		// Numbers, booleans, dates (which may hold a space).
		for s.pos < len(s.src) && !strings.ContainsRune(",]}#\r\n", rune(s.peek())) {
			s.next()
		}
	}
}

func (s *scanner) list(path string) {
	s.next()
	for i := 0; ; i++ {
		s.blank(true)
		if s.accept(']') || s.pos >= len(s.src) {
			return
		}
		before := s.pos
		element := IndexPath(path, i)
		s.note(element)
		s.value(element)
		s.blank(true)
		s.accept(',')
		if s.pos == before {
			return
		}
	}
}

func (s *scanner) inline(path string) {
	s.next()
	for {
		s.blank(true)
		if s.accept('}') || s.pos >= len(s.src) {
			return
		}
		before := s.pos
		s.pair(path)
		s.blank(true)
		s.accept(',')
		if s.pos == before {
			return
		}
	}
}

// text steps over a string of any of the four kinds and returns its value.
func (s *scanner) text() string {
	quote := s.src[s.pos : s.pos+1]
	if long := strings.Repeat(quote, 3); strings.HasPrefix(s.src[s.pos:], long) {
		return s.longText(quote[0], long)
	}
	s.next()
	start := s.pos
	for s.pos < len(s.src) && s.peek() != quote[0] {
		if quote == `"` && s.peek() == '\\' {
			s.next()
		}
		s.next()
	}
	body := s.src[start:s.pos]
	s.next()
	if quote == `"` {
		return unescape(body)
	}
	return body
}

// longText steps over a multi-line string. Such a string is never a key, so
// its value does not matter.
func (s *scanner) longText(quote byte, long string) string {
	s.pos += 3
	for s.pos < len(s.src) && !strings.HasPrefix(s.src[s.pos:], long) {
		if quote == '"' && s.peek() == '\\' {
			s.next()
		}
		s.next()
	}
	// The closing quotes may be preceded by up to two that belong to the text.
	for n := 0; n < 5 && s.peek() == quote; n++ {
		s.next()
	}
	return ""
}

// unescape decodes the escapes of a basic string that is used as a key.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if n := strings.IndexByte("xuU", s[i]); n >= 0 {
			digits := 2 << n
			if code, err := strconv.ParseUint(s[i+1:min(i+1+digits, len(s))], 16, 32); err == nil && utf8.ValidRune(rune(code)) {
				b.WriteRune(rune(code))
			}
			i = min(i+digits, len(s)-1)
			continue
		}
		if n := strings.IndexByte("btnfre", s[i]); n >= 0 {
			b.WriteByte("\b\t\n\f\r\x1b"[n])
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
