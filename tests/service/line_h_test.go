package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// TestLineServiceH: whatever is asked of the API, it answers in time, by its own
// document, and with no fault of its own.
func TestLineServiceH(t *testing.T) {
	each := count(1000, 30)
	// What looks for newer packages, or for a repository, finds nobody at once.
	d := startDaemon(t, daemonOptions{Env: []string{"RISCV_BUILD_MIRROR=http://127.0.0.1:1/debian", "RISCV_BUILD_SECURITY_MIRROR=http://127.0.0.1:1/debian-security", "RISCV_BUILD_SNAPSHOT=none"}})
	d.succeed(d.submit(maker, uploaded(t, plain("real", "a build that there is")))[0].ID, time.Minute)
	doc := d.document()
	f := &fuzzer{d: d, doc: doc, random: seeded(t), statuses: map[int]int{}}
	all := operations(t, doc)
	for _, o := range all {
		t.Run(strings.ReplaceAll(o.String(), "/", "|"), func(t *testing.T) {
			f.t, f.wrong = t, 0
			for range each {
				f.one(o)
			}
		})
	}
	d.alive()
	figure(t, "H, requests", fmt.Sprintf("%d to %d operations, answers by status %v, the slowest after %s", f.asked, len(all), f.statuses, f.slowest.Round(time.Millisecond)), "no 5xx, none after 10 s, each by the document", !t.Failed())
}

type fuzzer struct {
	t        *testing.T
	d        *daemon
	doc      *openapi3.T
	random   *rand.Rand
	asked    int
	wrong    int // of the operation at hand
	slowest  time.Duration
	statuses map[int]int
}

// fault tells of a fault, of the first few of an operation.
func (f *fuzzer) fault(format string, args ...any) {
	f.t.Helper()
	if f.wrong++; f.wrong <= 5 {
		f.t.Errorf(format, args...)
	} else {
		f.t.Fail()
	}
}

// one asks once and looks at the answer.
func (f *fuzzer) one(o operation) {
	path := o.filled(func(p *openapi3.Parameter) string { return url.PathEscape(f.parameter(p)) })
	query := url.Values{}
	header := http.Header{}
	for _, ref := range append(slices.Clone(o.item.Parameters), o.Parameters...) {
		switch p := ref.Value; {
		case p.In == openapi3.ParameterInQuery && f.chance(50):
			query.Add(p.Name, f.parameter(p))
		case p.In == openapi3.ParameterInHeader && f.chance(30):
			header.Set(p.Name, strings.Map(printable, f.parameter(p)))
		}
	}
	if f.chance(5) {
		query.Set(f.text(), f.text())
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var body any
	if o.RequestBody != nil || f.chance(2) {
		body = f.body(o)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req := f.d.request(ctx, admin, o.method, path, body)
	for name, values := range header {
		req.Header[name] = values
	}
	if f.chance(3) {
		req.Header.Set("Content-Type", "text/plain")
	}
	f.asked++
	begin := time.Now()
	a := f.d.send(req)
	f.slowest = max(f.slowest, time.Since(begin))
	f.statuses[a.status]++
	said, _ := json.Marshal(body)
	f.judge(o, req, a, fmt.Sprintf("%s %s %s", o.method, path, said[:min(len(said), 1000)]))
}

func (f *fuzzer) judge(o operation, req *http.Request, a answer, asked string) {
	switch {
	case a.status == 0:
		f.fault("%s: no answer: %s", asked, a.body)
		return
	case a.status >= 500:
		f.fault("%s: %s", asked, a)
		return
	case a.status >= 300 && a.status < 400, a.status == http.StatusRequestHeaderFieldsTooLarge:
		return // no path of an operation; refused before anything is read
	case a.status >= 400 && !strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json"):
		f.fault("%s: no problem document but %q: %s", asked, a.header.Get("Content-Type"), a)
		return
	}
	documented := o.Responses.Status(a.status) != nil || o.Responses.Default() != nil
	if !documented {
		// A path or method that is none is refused before any operation is found.
		if a.status < 400 {
			f.fault("%s: the document has no answer %d: %s", asked, a.status, a)
		}
		return
	}
	if !strings.Contains(a.header.Get("Content-Type"), "json") {
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: req, PathParams: map[string]string{},
			Route: &routers.Route{Spec: f.doc, Path: o.path, PathItem: o.item, Method: o.method, Operation: o.Operation},
		},
		Status: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(context.Background(), in); err != nil {
		f.fault("%s: the answer is not of the document: %.1500v\n%.500s", asked, err, a)
	}
}

func (f *fuzzer) chance(percent int) bool { return f.random.IntN(100) < percent }

// parameter is a value for a parameter, good or not.
func (f *fuzzer) parameter(p *openapi3.Parameter) string {
	if p.Schema == nil || p.Schema.Value == nil || f.chance(25) {
		return f.text()
	}
	v := f.value(p.Schema.Value, 3)
	if list, ok := v.([]any); ok {
		var words []string
		for _, item := range list {
			words = append(words, fmt.Sprint(item))
		}
		return strings.Join(words, ",")
	}
	if s := fmt.Sprint(v); s != "" || p.In != openapi3.ParameterInPath {
		return s
	}
	return "x"
}

// body is a body for an operation, good or not.
func (f *fuzzer) body(o operation) []byte {
	switch f.random.IntN(12) {
	case 0:
		return nil
	case 1:
		return []byte("{")
	case 2:
		return []byte(strings.Repeat("[", f.random.IntN(100000)))
	case 3:
		return []byte(f.text())
	}
	var v any = f.anything(3)
	if o.RequestBody != nil && o.RequestBody.Value != nil && f.chance(90) {
		if media := o.RequestBody.Value.Content.Get("application/json"); media != nil && media.Schema != nil && media.Schema.Value != nil {
			v = f.value(media.Schema.Value, 6)
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return text
}

// value is a value of a schema, now and then one that is not.
func (f *fuzzer) value(s *openapi3.Schema, depth int) any {
	if f.chance(6) || depth == 0 {
		return f.anything(2)
	}
	is := func(name string) bool { return s.Type != nil && s.Type.Includes(name) }
	switch {
	case len(s.Enum) > 0:
		return s.Enum[f.random.IntN(len(s.Enum))]
	case is("object") || len(s.Properties) > 0:
		object := map[string]any{}
		names := make([]string, 0, len(s.Properties))
		for name := range s.Properties {
			names = append(names, name)
		}
		slices.Sort(names) // so that a seed repeats a run
		for _, name := range names {
			if p := s.Properties[name].Value; p != nil && (slices.Contains(s.Required, name) && !f.chance(5) || f.chance(40)) {
				object[name] = f.value(p, depth-1)
			}
		}
		if f.chance(5) {
			object[f.text()] = f.anything(2)
		}
		return object
	case is("array"):
		list := []any{}
		for range f.random.IntN(4) {
			if s.Items != nil && s.Items.Value != nil {
				list = append(list, f.value(s.Items.Value, depth-1))
			}
		}
		return list
	case is("integer"), is("number"):
		return f.number(s)
	case is("boolean"):
		return f.chance(50)
	}
	return f.text()
}

func (f *fuzzer) number(s *openapi3.Schema) any {
	low, high := -3.0, 200.0
	if s.Min != nil && !f.chance(10) {
		low = *s.Min
	}
	if s.Max != nil && !f.chance(10) {
		high = *s.Max
	}
	if f.chance(10) {
		return []any{json.Number("9223372036854775807"), json.Number("-9223372036854775808"), json.Number("1e400"), json.Number("0.5"), json.Number("18446744073709551616")}[f.random.IntN(5)]
	}
	return int64(low + f.random.Float64()*max(1, high-low))
}

// anything is some JSON.
func (f *fuzzer) anything(depth int) any {
	switch n := f.random.IntN(7); {
	case n == 0:
		return nil
	case n == 1:
		return f.chance(50)
	case n == 2:
		return f.random.IntN(1000) - 500
	case n == 3 && depth > 0:
		return []any{f.anything(depth - 1), f.anything(depth - 1)}
	case n == 4 && depth > 0:
		return map[string]any{f.text(): f.anything(depth - 1)}
	}
	return f.text()
}

// words are those that something was ever wrong with.
var words = []string{
	"", " ", "x", "real", "busybox", "catalog/busybox", "*", "1", "0", "-1", "null", "true", "../../etc/passwd", "..", ".", "/", "//", "a/b", "a\\b", "%2e%2e", "%00", "\x00", "\n", "\r\nX: y",
	"é", "漢字", "\u202e", "🙂", "\ufeff", "\xff\xfe", "'", "\"", "' OR 1=1 --", "<script>alert(1)</script>", "${jndi:x}", "{{7*7}}", "$(id)", "`id`", "; id", "-rf", "--help",
	"@daily", "* * * * *", "61 * * * *", "*/0 * * * *", "0 0 31 2 *", "always", "nightly", "2026-01-01T00:00:00Z", "sha256:x", "http://127.0.0.1:1/x.git", "file:///etc", "localhost:1/x", "http://", "://",
	"cmVjaXBl", "real.toml", "refs/heads/main",
}

func (f *fuzzer) text() string {
	switch {
	case f.chance(4):
		return strings.Repeat(words[f.random.IntN(len(words))]+"a", f.random.IntN(2000))
	case f.chance(15):
		runes := make([]rune, f.random.IntN(12))
		for i := range runes {
			runes[i] = rune(f.random.IntN(0x500))
		}
		return string(runes)
	}
	return words[f.random.IntN(len(words))]
}

// printable drops what no header may have.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
