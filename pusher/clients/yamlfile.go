package clients

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// yamlFile is a YAML mapping that is changed in place. Each change is made in
// the tree of nodes; if inserting or replacing lines of the text says the same,
// the text keeps its other bytes, else it is written anew from the nodes, which
// keep comments but no empty lines.
type yamlFile struct {
	path string
	text []byte
	root *yaml.Node // the top mapping; nil in an empty document
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// openYAML reads a text of one document; an empty one is an empty mapping.
func openYAML(path string, text []byte) (*yamlFile, error) {
	f := &yamlFile{path: path}
	if err := f.parse(text); err != nil {
		wrong := &FileError{Path: path, Err: err, Advice: "correct the file and run this again"}
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			wrong.Line, _ = strconv.Atoi(m[1])
			wrong.Err = errors.New(m[2])
		}
		return nil, wrong
	}
	return f, nil
}

func (f *yamlFile) parse(text []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	err := decoder.Decode(&doc)
	if err == nil {
		var values any // what the tree of nodes alone lets pass, such as a key twice
		if err := doc.Decode(&values); err != nil {
			return err
		}
		if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
			return errors.New("it holds more than one document, of which only the first is read")
		}
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	f.text, f.root = text, nil
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil
	}
	f.root = doc.Content[0]
	if f.root.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: it is no mapping", f.root.Line)
	}
	return nil
}

// get finds a value; nil if it is not set.
func (f *yamlFile) get(key ...string) *yaml.Node {
	at := f.root
	for _, k := range key {
		if at = child(at, k); at == nil {
			return nil
		}
	}
	return at
}

func child(n *yaml.Node, key string) *yaml.Node {
	_, value := entry(n, key)
	return value
}

func entry(n *yaml.Node, key string) (name, value *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}

// strings gives the items of a list.
func (f *yamlFile) strings(key ...string) []string {
	n := f.get(key...)
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	var all []string
	for _, item := range n.Content {
		all = append(all, item.Value)
	}
	return all
}

// set gives a key its value, a string or a list of strings, adding the
// mappings that lead to it.
func (f *yamlFile) set(value any, key ...string) error {
	if f.root == nil {
		return f.addTop(nest(value, key))
	}
	parent, parentName := f.root, (*yaml.Node)(nil)
	for i, k := range key {
		name, next := entry(parent, k)
		switch {
		case parent.Kind != yaml.MappingNode:
			return f.wrong(parent, "it is no mapping")
		case next == nil && parentName == nil:
			return f.addTop(nest(value, key[i:]))
		case next == nil || next.Tag == "!!null" && i < len(key)-1:
			if next != nil { // an empty value is an empty mapping
				parent, parentName, i = next, name, i+1
			}
			return f.addBelow(parent, parentName, nest(value, key[i:]))
		case next.Kind == yaml.AliasNode:
			return f.wrong(next, "it is an alias: what is set here would be set elsewhere too")
		case i == len(key)-1:
			return f.replace(next, value)
		}
		parent, parentName = next, name
	}
	return nil
}

// setFirst puts an item at the beginning of a list.
func (f *yamlFile) setFirst(item string, key ...string) error {
	n := f.get(key...)
	if n == nil || n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		return f.set([]string{item}, key...)
	}
	first := n.Content[0]
	at := f.position(first)
	text := splice(f.text, at, at, strconv.Quote(item)+", ")
	if n.Style&yaml.FlowStyle == 0 {
		line, err := yamlText([]string{item}, first.Column-3)
		if err != nil {
			return err
		}
		text = insertLine(f.text, first.Line, line)
	}
	var added yaml.Node
	if err := added.Encode(item); err != nil {
		return fmt.Errorf("writing %q: %w", item, err)
	}
	n.Content = append([]*yaml.Node{&added}, n.Content...)
	return f.accept(text)
}

// nest wraps a value in mappings.
func nest(value any, key []string) any {
	for i := len(key) - 1; i >= 0; i-- {
		value = map[string]any{key[i]: value}
	}
	return value
}

// addTop adds a key of the top mapping at the end.
func (f *yamlFile) addTop(value any) error {
	lines, err := yamlText(value, 0)
	if err != nil {
		return err
	}
	var added yaml.Node
	if err := added.Encode(value); err != nil {
		return fmt.Errorf("writing %v: %w", value, err)
	}
	if f.root == nil {
		f.root = &added
	} else {
		f.root.Content = append(f.root.Content, added.Content...)
	}
	text := bytes.TrimRight(f.text, "\n")
	if len(text) > 0 {
		text = append(bytes.Clone(text), '\n')
	}
	return f.accept(append(text, lines...))
}

// addBelow adds a key to a mapping, on the line after the mapping's own key.
func (f *yamlFile) addBelow(parent, name *yaml.Node, value any) error {
	indent := name.Column + 1
	if len(parent.Content) > 0 {
		indent = parent.Content[0].Column - 1
	}
	lines, err := yamlText(value, indent)
	if err != nil {
		return err
	}
	var added yaml.Node
	if err := added.Encode(value); err != nil {
		return fmt.Errorf("writing %v: %w", value, err)
	}
	text := f.text
	if at := f.position(parent); len(parent.Content) == 0 && bytes.HasPrefix(text[at:], []byte("{}")) {
		text = splice(text, at-1, at+2, "") // with the space before it
	}
	if len(parent.Content) == 0 { // null, {}
		*parent = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	}
	parent.Content = append(added.Content, parent.Content...)
	return f.accept(insertLine(text, name.Line+1, lines))
}

// replace gives a value that is there another content.
func (f *yamlFile) replace(n *yaml.Node, value any) error {
	var to yaml.Node
	if err := to.Encode(value); err != nil {
		return fmt.Errorf("writing %v: %w", value, err)
	}
	var before, after any
	if n.Decode(&before) == nil && to.Decode(&after) == nil && reflect.DeepEqual(before, after) {
		return nil
	}
	text := f.replaceScalar(n, value)
	to.HeadComment, to.LineComment, to.FootComment = n.HeadComment, n.LineComment, n.FootComment
	*n = to
	return f.accept(text)
}

// replaceScalar replaces a string where it stands; nil if it is not written on
// one line as it is.
func (f *yamlFile) replaceScalar(n *yaml.Node, value any) []byte {
	s, isString := value.(string)
	if !isString || n.Kind != yaml.ScalarNode || n.Line == 0 {
		return nil
	}
	literal, err := yaml.Marshal(s)
	if err != nil {
		return nil
	}
	at := f.position(n)
	for _, written := range []string{`"` + n.Value + `"`, "'" + n.Value + "'", n.Value} {
		if written != "" && bytes.HasPrefix(f.text[at:], []byte(written)) {
			with := strings.TrimSpace(string(literal))
			if q := written[:1]; (q == `"` || q == "'") && with == s {
				with = q + s + q
			}
			return splice(f.text, at, at+len(written), with)
		}
	}
	return nil
}

// insertLine inserts lines before a line of a text.
func insertLine(text []byte, line int, lines string) []byte {
	at := lineOffset(text, line)
	if at > 0 && text[at-1] != '\n' {
		lines = "\n" + lines
	}
	return splice(text, at, at, lines)
}

// lineOffset is where a line begins, counted from 1.
func lineOffset(text []byte, line int) int {
	at := 0
	for ; line > 1; line-- {
		at = nextLine(text, at)
	}
	return at
}

// position is where a node begins.
func (f *yamlFile) position(n *yaml.Node) int {
	at := lineOffset(f.text, n.Line)
	line := []rune(string(f.text[at:nextLine(f.text, at)]))
	return at + len(string(line[:min(max(n.Column-1, 0), len(line))]))
}

// accept takes the text, if it says what the nodes say, or what they are
// written as.
func (f *yamlFile) accept(text []byte) error {
	var want any
	if err := f.root.Decode(&want); err != nil {
		return f.wrong(f.root, err.Error())
	}
	edited := &yamlFile{path: f.path}
	if text != nil && edited.parse(text) == nil && edited.says(want) {
		*f = *edited
		return nil
	}
	written, err := yamlText(f.root, 0)
	if err != nil {
		return err
	}
	if err := edited.parse([]byte(written)); err != nil || !edited.says(want) {
		return f.wrong(f.root, "the way it is written leaves no place for the registry")
	}
	*f = *edited
	return nil
}

func (f *yamlFile) says(want any) bool {
	var got any
	return f.root != nil && f.root.Decode(&got) == nil && reflect.DeepEqual(got, want)
}

func (f *yamlFile) wrong(at *yaml.Node, text string) error {
	return &FileError{Path: f.path, Line: at.Line, Err: errors.New(text), Advice: "correct the file and run this again"}
}

// yamlText writes a value, each line indented.
func yamlText(value any, indent int) (string, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(value); err != nil {
		return "", fmt.Errorf("writing YAML: %w", err)
	}
	space := strings.Repeat(" ", max(indent, 0))
	var lines strings.Builder
	for line := range strings.Lines(text.String()) {
		lines.WriteString(space + line)
	}
	return lines.String(), nil
}
