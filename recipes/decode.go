package recipes

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/agext/levenshtein"
)

// Decode reads a TOML document into the struct that v points to and returns
// the line of every key. Each key must name a field (by its toml tag, in its
// exact spelling) and each value must have the field's type; the error is of
// type Problems and names every key where that does not hold. What could be
// decoded is in *v even then.
//
// The library parses the document; the binding to fields is done here because
// the library stops at the first wrong type and does not tell which element of
// an array it means.
func Decode(file string, data []byte, v any) (map[string]int, error) {
	b, err := decode(file, data, v)
	if err != nil {
		return nil, err
	}
	return b.lines, b.problems.Err()
}

// decode does the work of Decode; the error is that of the syntax only.
func decode(file string, data []byte, v any) (*binder, error) {
	var tree map[string]any
	if _, err := toml.Decode(string(data), &tree); err != nil {
		return nil, Problems{syntaxProblem(file, err)}
	}
	b := &binder{file: file, lines: keyLines(string(data))}
	b.table("", tree, reflect.ValueOf(v).Elem())
	return b, nil
}

// syntaxProblem turns an error of the TOML parser into a problem.
func syntaxProblem(file string, err error) Problem {
	var parse toml.ParseError
	if !errors.As(err, &parse) {
		return Problem{File: file, What: err.Error(), Do: "write the file as TOML v1.0"}
	}
	what := strings.TrimSuffix(strings.TrimPrefix(parse.Message, "toml: "), ".")
	what = strings.ToLower(what[:min(1, len(what))]) + what[min(1, len(what)):]
	if parse.LastKey != "" && !strings.Contains(what, "'"+parse.LastKey+"'") {
		what += fmt.Sprintf(" (near key %q)", parse.LastKey)
	}
	do := "correct the TOML syntax"
	switch {
	case strings.Contains(what, "already"):
		do = "keep one of the two"
	case strings.Contains(what, "escape"):
		do = `write a backslash as "\\", or put the text in 'single quotes'`
	case strings.Contains(what, "leading zeroes"), strings.Contains(what, "leading zeros"):
		do = "write octal numbers as 0o755"
	case strings.Contains(what, "UTF-8"), strings.Contains(what, "control character"):
		do = "save the file as UTF-8 text"
	case strings.Contains(what, "newlines"):
		do = `close the string with ", or use """ for text of several lines`
	}
	return Problem{File: file, Line: max(parse.Position.Line, 1), What: what, Do: do}
}

// binder assigns a parsed TOML tree to Go values.
type binder struct {
	file     string
	lines    map[string]int
	problems Problems
	broken   []string // paths of the problems
}

func (b *binder) bad(path, what, do string) {
	b.broken = append(b.broken, path)
	b.problems = append(b.problems, Problem{File: b.file, Line: LineOf(b.lines, path), What: what, Do: do})
}

// mismatch reports a value of the wrong type.
func (b *binder) mismatch(path string, value any, want, do string) {
	b.bad(path, fmt.Sprintf("%s is %s, not %s", path, tomlKind(value), want), do)
}

// bind assigns value to target.
func (b *binder) bind(path string, value any, target reflect.Value) {
	switch out := target.Addr().Interface().(type) {
	case *time.Time:
		if t, ok := value.(time.Time); ok {
			*out = t
		} else {
			b.mismatch(path, value, "a date", "write it as 2026-01-31T12:00:00Z, without quotes")
		}
		return
	case encoding.TextUnmarshaler:
		b.unmarshal(path, value, out)
		return
	}
	switch target.Kind() {
	case reflect.Pointer:
		fresh := reflect.New(target.Type().Elem())
		b.bind(path, value, fresh.Elem())
		target.Set(fresh)
	case reflect.Struct, reflect.Map:
		if table, ok := value.(map[string]any); ok {
			b.table(path, table, target)
		} else {
			b.mismatch(path, value, "a table", "open it with ["+path+`], or write { key = "value" }`)
		}
	case reflect.Slice:
		b.list(path, value, target)
	default:
		b.scalar(path, value, target)
	}
}

func (b *binder) scalar(path string, value any, target reflect.Value) {
	switch target.Kind() {
	case reflect.String:
		if s, ok := value.(string); ok {
			target.SetString(s)
		} else {
			b.mismatch(path, value, "a string", "put it in quotes")
		}
	case reflect.Bool:
		if v, ok := value.(bool); ok {
			target.SetBool(v)
		} else {
			b.mismatch(path, value, "true or false", "write true or false, without quotes")
		}
	case reflect.Int, reflect.Int64:
		n, ok := value.(int64)
		switch {
		case !ok:
			b.mismatch(path, value, "a whole number", "write a number without quotes")
		case target.Kind() == reflect.Int && (n > math.MaxInt32 || n < math.MinInt32):
			b.bad(path, fmt.Sprintf("%s = %d is out of range", path, n), "use a number of at most 32 bits")
		default:
			target.SetInt(n)
		}
	}
}

// unmarshal hands a string to a type that parses its own text.
func (b *binder) unmarshal(path string, value any, out encoding.TextUnmarshaler) {
	text, ok := value.(string)
	if !ok {
		b.mismatch(path, value, "a duration", `write a number with its unit in quotes, such as "90s" or "5m"`)
		return
	}
	if err := out.UnmarshalText([]byte(text)); err != nil {
		b.bad(path, fmt.Sprintf("%s = %q is no duration", path, text), `write a number with its unit, such as "90s" or "5m"`)
	}
}

func (b *binder) list(path string, value any, target reflect.Value) {
	items := reflect.ValueOf(value)
	if items.Kind() != reflect.Slice {
		do := "put it in [brackets]"
		if target.Type().Elem().Kind() == reflect.Struct {
			do = "open each element with [[" + path + "]]"
		}
		b.mismatch(path, value, "a list", do)
		return
	}
	target.Set(reflect.MakeSlice(target.Type(), items.Len(), items.Len()))
	for i := range items.Len() {
		b.bind(IndexPath(path, i), items.Index(i).Interface(), target.Index(i))
	}
}

// table assigns the keys of a table to a struct or a map.
func (b *binder) table(path string, table map[string]any, target reflect.Value) {
	if target.Kind() == reflect.Map {
		target.Set(reflect.MakeMapWithSize(target.Type(), len(table)))
		for key, value := range table {
			element := reflect.New(target.Type().Elem()).Elem()
			b.bind(JoinPath(path, key), value, element)
			target.SetMapIndex(reflect.ValueOf(key), element)
		}
		return
	}
	fields := tomlFields(target.Type())
	for key, value := range table {
		if i, ok := fields[key]; ok {
			b.bind(JoinPath(path, key), value, target.Field(i))
			continue
		}
		b.unknown(path, key, fields)
	}
}

// unknown reports a key that no field has, with the known key nearest to it.
func (b *binder) unknown(path, key string, fields map[string]int) {
	known := make([]string, 0, len(fields))
	for name := range fields {
		known = append(known, name)
	}
	slices.Sort(known)
	do := "use one of " + strings.Join(known, ", ")
	if near := nearest(key, known); near != "" {
		do = fmt.Sprintf("did you mean %q? Otherwise delete it", near)
	}
	where := ""
	if path != "" {
		where = " in " + path
	}
	b.bad(JoinPath(path, key), fmt.Sprintf("unknown key %q%s", key, where), do)
}

// nearest returns the known word most like word, or "" if none is alike.
func nearest(word string, known []string) string {
	best, score := "", 0.0
	for _, name := range known {
		if s := levenshtein.Match(strings.ToLower(word), name, nil); s > score {
			best, score = name, s
		}
	}
	if score <= 0.6 {
		return ""
	}
	return best
}

// tomlFields maps the toml names of a struct's fields to their indexes.
func tomlFields(t reflect.Type) map[string]int {
	fields := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		if name := tomlName(t.Field(i)); name != "" {
			fields[name] = i
		}
	}
	return fields
}

// tomlName returns the TOML key of a field, "" if it has none.
func tomlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	if name == "-" {
		return ""
	}
	return name
}

// lastKey returns the last key of a path, without indexes.
func lastKey(path string) string {
	for strings.HasSuffix(path, "]") {
		path = parentPath(path)
	}
	if parent := parentPath(path); parent != "" {
		return path[len(parent)+1:]
	}
	return path
}

// tomlKind names the type of a parsed value as a user would.
func tomlKind(value any) string {
	switch value.(type) {
	case string:
		return "a string"
	case int64:
		return "a number"
	case float64:
		return "a decimal number"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date"
	case map[string]any:
		return "a table"
	}
	return "a list"
}
