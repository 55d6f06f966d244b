package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tailscale/hujson"
)

// jsonFile is a JSON object whose lists of strings are changed in place: the
// order of the keys and all white space stay.
type jsonFile struct {
	path string
	text []byte
	root hujson.Value
}

// openJSON reads a text; an empty one is an empty object.
func openJSON(path string, text []byte) (*jsonFile, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("{}\n")
	}
	wrong := func(offset int64, err error) error {
		line := 1 + bytes.Count(text[:min(max(offset, 0), int64(len(text)))], []byte("\n"))
		return &FileError{Path: path, Line: line, Err: err, Advice: "correct the file and run this again"}
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			return nil, wrong(syntax.Offset, err)
		case errors.As(err, &kind):
			return nil, wrong(kind.Offset, fmt.Errorf("it is a JSON %s, not an object", kind.Value))
		}
		return nil, wrong(0, err)
	}
	root, err := hujson.Parse(text)
	if err != nil {
		return nil, wrong(0, err)
	}
	if _, isObject := root.Value.(*hujson.Object); !isObject {
		return nil, wrong(0, errors.New("it is no JSON object"))
	}
	return &jsonFile{path: path, text: text, root: root}, nil
}

// strings gives a list of strings; none if the key is not set.
func (f *jsonFile) strings(key string) ([]string, error) {
	m := f.member(key)
	if m == nil {
		return nil, nil
	}
	var list []string
	if err := json.Unmarshal(m.Value.Pack(), &list); err != nil {
		line := 1 + bytes.Count(f.text[:m.Name.StartOffset], []byte("\n"))
		return nil, &FileError{Path: f.path, Line: line, Err: fmt.Errorf("%q is no list of strings", key), Advice: "make it one, or take it out"}
	}
	return list, nil
}

// member finds a key; the last one counts, as for every decoder.
func (f *jsonFile) member(key string) *hujson.ObjectMember {
	members := f.root.Value.(*hujson.Object).Members
	for i := len(members) - 1; i >= 0; i-- {
		if name, ok := members[i].Name.Value.(hujson.Literal); ok && name.String() == key {
			return &members[i]
		}
	}
	return nil
}

// setStrings makes a list of a key what it must be, touching only the items
// that differ.
func (f *jsonFile) setStrings(key string, list []string) error {
	old, err := f.strings(key)
	if err != nil || slices.Equal(old, list) {
		return err
	}
	m := f.member(key)
	if m == nil {
		m = f.add(key)
	}
	array, isArray := m.Value.Value.(*hujson.Array)
	if !isArray { // null
		array = &hujson.Array{}
		m.Value.Value = array
	}
	array.Elements = slices.DeleteFunc(array.Elements, func(e hujson.Value) bool {
		item, ok := e.Value.(hujson.Literal)
		return ok && !slices.Contains(list, item.String())
	})
	space := f.itemSpace(array)
	if n := len(array.Elements); n == 0 {
		array.AfterExtra = nil
	} else {
		array.Elements[n-1].AfterExtra = nil // else a comma would follow
	}
	for i, item := range list {
		if i < len(array.Elements) {
			if have, ok := array.Elements[i].Value.(hujson.Literal); ok && have.String() == item {
				continue
			}
		}
		element := hujson.Value{Value: hujson.String(item)}
		if i > 0 || strings.Contains(string(space), "\n") {
			element.BeforeExtra = space
		}
		array.Elements = slices.Insert(array.Elements, i, element)
		if i == 0 && len(array.Elements) > 1 && len(array.Elements[1].BeforeExtra) == 0 {
			array.Elements[1].BeforeExtra = space
		}
	}
	text := f.root.Pack()
	if err := f.check(text, key, list); err != nil {
		return err
	}
	f.text = text
	return nil
}

// itemSpace is what stands before the items of a list.
func (f *jsonFile) itemSpace(array *hujson.Array) hujson.Extra {
	if n := len(array.Elements); n > 0 && len(array.Elements[n-1].BeforeExtra) > 0 {
		return array.Elements[n-1].BeforeExtra
	}
	return hujson.Extra(" ")
}

// add adds an empty list, indented as the keys before it.
func (f *jsonFile) add(key string) *hujson.ObjectMember {
	object := f.root.Value.(*hujson.Object)
	space := hujson.Extra("\n  ")
	if n := len(object.Members); n > 0 {
		space = object.Members[n-1].Name.BeforeExtra
	} else {
		object.AfterExtra = hujson.Extra("\n")
	}
	object.Members = append(object.Members, hujson.ObjectMember{
		Name:  hujson.Value{BeforeExtra: space, Value: hujson.String(key)},
		Value: hujson.Value{BeforeExtra: hujson.Extra(" "), Value: &hujson.Array{}},
	})
	return &object.Members[len(object.Members)-1]
}

// check holds that a changed text says what it said before, and the one list.
func (f *jsonFile) check(text []byte, key string, list []string) error {
	var before, after map[string]any
	if err := json.Unmarshal(f.text, &before); err != nil {
		return fmt.Errorf("reading %q again: %w", f.path, err)
	}
	before[key] = generic(list)
	if err := json.Unmarshal(text, &after); err != nil || !reflect.DeepEqual(before, after) {
		return &FileError{Path: f.path, Err: fmt.Errorf("the way it is written leaves no place for %q", key), Advice: "add the key by hand"}
	}
	return nil
}

// keys are the names of the object's members.
func (f *jsonFile) keys() []string {
	var names []string
	for _, m := range f.root.Value.(*hujson.Object).Members {
		names = append(names, m.Name.Value.(hujson.Literal).String())
	}
	return names
}
