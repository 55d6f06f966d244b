package clients

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	gotoml "github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// tomlFile is a TOML text that is changed in place: all bytes but those of the
// settings changed stay. Every change is made twice, in the text and in the
// decoded values, and what the text then decodes to must be those values: a
// form of writing that the text edits do not handle is an error, not a broken
// file.
type tomlFile struct {
	path   string
	text   []byte
	values map[string]any
}

// openTOML reads a text; an empty one is an empty document.
func openTOML(path string, text []byte) (*tomlFile, error) {
	values, err := decodeTOML(text)
	if err != nil {
		wrong := &FileError{Path: path, Err: err, Advice: "correct the file and run this again"}
		var at toml.ParseError
		if errors.As(err, &at) {
			wrong.Line, wrong.Err = at.Position.Line, errors.New(at.Message)
			if at.Message == "" {
				wrong.Err = err
			}
		}
		return nil, wrong
	}
	return &tomlFile{path: path, text: text, values: values}, nil
}

func decodeTOML(text []byte) (map[string]any, error) {
	values := map[string]any{}
	err := toml.Unmarshal(text, &values)
	return values, err
}

// get finds a value; nil if it is not set.
func (f *tomlFile) get(key ...string) any {
	var v any = f.values
	for _, k := range key {
		table, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = table[k]
	}
	return v
}

// strings gives a list of strings, or a single one as a list.
func (f *tomlFile) strings(key ...string) []string {
	switch v := f.get(key...).(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}

// set gives a key its value, in its table, which is added at the end if there
// is none.
func (f *tomlFile) set(value any, key ...string) error { return f.put(value, key, nil) }

// setFirst is set; a table that is added comes before those that begin like it.
func (f *tomlFile) setFirst(value any, key ...string) error { return f.put(value, key, key[:1]) }

func (f *tomlFile) put(value any, key, before []string) error {
	if reflect.DeepEqual(f.get(key...), generic(value)) {
		return nil
	}
	literal, err := tomlLiteral(value)
	if err != nil {
		return err
	}
	doc, err := f.parse()
	if err != nil {
		return err
	}
	table, name := key[:len(key)-1], key[len(key)-1]
	line := toml.Key{name}.String() + " = " + literal + "\n"
	var text []byte
	switch {
	case doc.value(key) != nil:
		at := doc.value(key)
		text = splice(f.text, at.from, at.to, at.keyText+" = "+literal)
	case len(table) == 0 && doc.top > 0:
		text = splice(f.text, doc.top, doc.top, newline(f.text, doc.top)+line)
	case len(table) == 0:
		text = f.insert(doc.firstTable([]string{}), line)
	case doc.header(table) != nil:
		h := doc.header(table)
		text = splice(f.text, h.nextLine, h.nextLine, newline(f.text, h.nextLine)+h.indent+line)
	default:
		text = f.insert(doc.firstTable(before), "["+toml.Key(table).String()+"]\n  "+line)
	}
	return f.accept(text, key, value)
}

// putFirst adds an item at the beginning of a list, in which comments may stand.
func (f *tomlFile) putFirst(item string, key ...string) error {
	list := f.strings(key...)
	doc, err := f.parse()
	if err != nil {
		return err
	}
	at := doc.value(key)
	if at == nil || len(list) == 0 {
		return f.set([]string{item}, key...)
	}
	literal, err := tomlLiteral(item)
	if err != nil {
		return err
	}
	open := at.from + len(at.keyText)
	open += bytes.IndexByte(f.text[open:], '[') + 1
	return f.accept(splice(f.text, open, open, literal+", "), key, append([]string{item}, list...))
}

// insert puts lines at an offset where a line begins, -1 for the end of the
// text. A table has an empty line around it.
func (f *tomlFile) insert(offset int, lines string) []byte {
	isTable := strings.HasPrefix(lines, "[")
	if offset >= 0 {
		return splice(f.text, offset, offset, lines+"\n")
	}
	text := slices.Clone(bytes.TrimRight(f.text, "\n"))
	if len(text) > 0 {
		text = append(text, '\n')
		if isTable {
			text = append(text, '\n')
		}
	}
	return append(text, lines...)
}

// rename changes the name of a table that has a header, and of the tables in it.
func (f *tomlFile) rename(table []string, name string) error {
	doc, err := f.parse()
	if err != nil {
		return err
	}
	to := append(slices.Clone(table[:len(table)-1]), name)
	text, moved := f.text, f.get(table...)
	for i := len(doc.headers) - 1; i >= 0; i-- {
		h := doc.headers[i]
		if len(h.path) >= len(table) && slices.Equal(h.path[:len(table)], table) {
			renamed := toml.Key(append(slices.Clone(to), h.path[len(table):]...)).String()
			text = splice(text, h.from, h.to, renamed)
		}
	}
	if parent, ok := f.get(table[:len(table)-1]...).(map[string]any); ok {
		delete(parent, table[len(table)-1])
	}
	return f.accept(text, to, moved)
}

// accept takes a changed text if it says what it said before and the one value.
func (f *tomlFile) accept(text []byte, key []string, value any) error {
	expected := f.values
	var at any = expected
	for i, k := range key {
		table, ok := at.(map[string]any)
		if !ok {
			return f.notEditable(key)
		}
		if i == len(key)-1 {
			table[k] = generic(value)
			break
		}
		if table[k] == nil {
			table[k] = map[string]any{}
		}
		at = table[k]
	}
	got, err := decodeTOML(text)
	if err != nil || !reflect.DeepEqual(got, expected) {
		return f.notEditable(key)
	}
	// The parser of containerd and BuildKit refuses more: headers below an inline table.
	if err := gotoml.Unmarshal(text, new(map[string]any)); err != nil {
		return f.notEditable(key)
	}
	f.text = text
	return nil
}

func (f *tomlFile) notEditable(key []string) error {
	return &FileError{
		Path: f.path, Err: fmt.Errorf("the way it is written leaves no place for %s", toml.Key(key)),
		Advice: "write the tables that lead there with [headers] of their own, and run this again",
	}
}

// generic is a value as the decoder would give it.
func generic(value any) any {
	if list, ok := value.([]string); ok {
		all := []any{}
		for _, s := range list {
			all = append(all, s)
		}
		return all
	}
	return value
}

// tomlLiteral writes a string, a bool, an integer or a list of strings.
func tomlLiteral(value any) (string, error) {
	text, err := toml.Marshal(map[string]any{"k": value})
	if err != nil {
		return "", fmt.Errorf("writing %v as TOML: %w", value, err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(text), "k = ")), nil
}

func splice(text []byte, from, to int, with string) []byte {
	return slices.Concat(text[:from], []byte(with), text[to:])
}

// tomlLayout says where in a text things are.
type tomlLayout struct {
	headers []tomlHeader
	values  []tomlValue
	top     int // offset behind the last line of the settings outside of tables; 0: none
}

type tomlHeader struct {
	path     []string
	from, to int    // of the name between the brackets
	line     int    // offset of the header's line, or of the comments right above it
	nextLine int    // offset behind the header's line
	indent   string // of the table's settings
	used     bool   // there are settings
}

type tomlValue struct {
	path     []string
	from, to int    // of the whole setting
	keyText  string // as it is written
}

// newline is what must be added before a line where the text ends without one.
func newline(text []byte, offset int) string {
	if offset > 0 && text[offset-1] != '\n' {
		return "\n"
	}
	return ""
}

func (d *tomlLayout) header(table []string) *tomlHeader {
	i := slices.IndexFunc(d.headers, func(h tomlHeader) bool { return slices.Equal(h.path, table) })
	if i < 0 {
		return nil
	}
	return &d.headers[i]
}

func (d *tomlLayout) value(key []string) *tomlValue {
	i := slices.IndexFunc(d.values, func(v tomlValue) bool { return slices.Equal(v.path, key) })
	if i < 0 {
		return nil
	}
	return &d.values[i]
}

// firstTable is where the first table whose name begins so begins, of all
// tables for an empty name; -1 for none, and for a nil name at the end.
func (d *tomlLayout) firstTable(prefix []string) int {
	for _, h := range d.headers {
		if prefix != nil && len(h.path) >= len(prefix) && slices.Equal(h.path[:len(prefix)], prefix) {
			return h.line
		}
	}
	return -1
}

// parse finds tables and settings in the text. Those of arrays of tables have
// no name that is addressed here.
func (f *tomlFile) parse() (*tomlLayout, error) {
	doc := &tomlLayout{}
	var parser unstable.Parser
	parser.Reset(f.text)
	var table []string
	for parser.NextExpression() {
		e := parser.Expression()
		if e.Kind != unstable.Table && e.Kind != unstable.ArrayTable && e.Kind != unstable.KeyValue {
			continue
		}
		key, from, to := keyOf(e)
		switch e.Kind {
		case unstable.ArrayTable:
			table = []string{"[[" + toml.Key(key).String()} // no such table is asked for
			doc.headers = append(doc.headers, f.header(table, from, to))
		case unstable.Table:
			table = key
			doc.headers = append(doc.headers, f.header(key, from, to))
		case unstable.KeyValue:
			full := append(slices.Clone(table), key...)
			end := int(e.Raw.Offset + e.Raw.Length)
			end = from + len(bytes.TrimRight(f.text[from:end], " \t\r\n"))
			doc.values = append(doc.values, tomlValue{path: full, from: from, to: end, keyText: string(f.text[from:to])})
			if len(doc.headers) == 0 {
				doc.top = nextLine(f.text, end)
			} else if n := len(doc.headers); !doc.headers[n-1].used {
				h := &doc.headers[n-1]
				h.used, h.indent = true, indentAt(f.text, lineStart(f.text, from))
			}
		}
	}
	if err := parser.Error(); err != nil {
		return nil, &FileError{Path: f.path, Err: err, Advice: "correct the file and run this again"}
	}
	return doc, nil
}

func keyOf(e *unstable.Node) (key []string, from, to int) {
	from = -1
	for it := e.Key(); it.Next(); {
		n := it.Node()
		key = append(key, string(n.Data))
		if from < 0 {
			from = int(n.Raw.Offset)
		}
		to = int(n.Raw.Offset + n.Raw.Length)
	}
	return key, from, to
}

func (f *tomlFile) header(path []string, from, to int) tomlHeader {
	h := tomlHeader{path: path, from: from, to: to, line: lineStart(f.text, from), nextLine: nextLine(f.text, to)}
	h.indent = indentAt(f.text, h.line) + "  "
	for h.line > 0 {
		above := lineStart(f.text, h.line-1)
		if !bytes.HasPrefix(bytes.TrimLeft(f.text[above:h.line], " \t"), []byte("#")) {
			break
		}
		h.line = above
	}
	return h
}

func lineStart(text []byte, offset int) int {
	return bytes.LastIndexByte(text[:offset], '\n') + 1
}

// nextLine is where the line after an offset begins, or the end of the text.
func nextLine(text []byte, offset int) int {
	if i := bytes.IndexByte(text[offset:], '\n'); i >= 0 {
		return offset + i + 1
	}
	return len(text)
}

func indentAt(text []byte, line int) string {
	rest := text[line:]
	return string(rest[:len(rest)-len(bytes.TrimLeft(rest, " \t"))])
}
