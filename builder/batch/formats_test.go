package batch

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the expected reports")

// everything is a report with each outcome, and texts that each form has to escape.
func everything(t *testing.T) *Report {
	t.Helper()
	log := filepath.Join(t.TempDir(), "redis.log")
	text := strings.Repeat("#1 an early line\n", 5000) + "#2 \x1b[31mcc -o x x.c\x1b[0m\r\n#2 x.c:1: error: expected '>' & got ]]>\n#2 ```\n"
	if err := os.WriteFile(log, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &Report{
		Tool: "1.0", Started: time.Date(2026, 11, 27, 5, 0, 0, 0, time.UTC), Seconds: 321.5, Engine: "embedded", Targets: []string{"127.0.0.1:6000"}, Exit: 1,
		Error: "building a batch of 7 recipes: 1 built", Recipes: []Entry{
			{Name: "nginx", Version: "1.26.3", File: "recipes/nginx.toml", Outcome: Built, Seconds: 49.25, Size: 27_600_000,
				Digest:     "sha256:" + "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
				References: []string{"127.0.0.1:6000/riscv64/nginx:1.26"}, Notes: []string{"lock: expired, 100 %"},
				Tests: []Test{{Name: "serves <a> \"page\"", Passed: true, Seconds: 1.5}, {Name: "reads & writes", Passed: true, Cached: true}}},
			{Name: "pause", Version: "3.6", File: "catalog:pause.toml", Outcome: Unchanged, Why: "the registry has it with the same inputs", Size: 270_000},
			{Name: "redis", Version: "8.0.2", File: "recipes/redis.toml", Outcome: Failed, Stage: "engine", Error: "building recipe \"redis\": exit status 1:\n  50%, of | it", Exit: 1, Kind: "build", Log: log, Seconds: 61},
			{Name: "varnish", Version: "7", File: "recipes/varnish.toml", Outcome: Failed, Stage: "check", Error: "1 of 2 tests failed", Exit: 1, Kind: "build", Seconds: 3,
				Tests: []Test{{Name: "starts", Passed: true}, {Name: "a `cache`, hit: ours", Output: "stdout: expected \"HIT\"\ngot \"MISS\x00\"", Seconds: 0.25}}},
			{Name: "broken", File: "recipes/broken.toml", Outcome: Failed, Stage: "load", Error: "recipes/broken.toml:3: unknown key", Exit: 2, Kind: "recipe",
				Problems: []Problem{{File: "recipes/broken.toml", Line: 3, What: "unknown key \"x\"", Do: "remove it"}, {File: "recipes/broken.toml", What: "no name", Do: "add one"}}},
			{Name: "far", Version: "1", File: "recipes/far.toml", Outcome: Failed, Stage: "fetch", Error: "fetching: no route to host", Exit: 4, Kind: "network"},
			{Name: "onfar", Version: "1", File: "recipes/onfar.toml", Base: "far", Outcome: Blocked, Why: "it stands on far, which is failed"},
		},
	}
	r.Totals.sum(r.Recipes)
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s (%v): got\n%s", path, err, got)
	}
}

// TestReportForms compares each form with its golden file.
func TestReportForms(t *testing.T) {
	r := everything(t)
	for _, ending := range Endings() {
		var b bytes.Buffer
		if err := r.Write(&b, "x/report"+ending); err != nil {
			t.Fatal(err)
		}
		text := bytes.ReplaceAll(b.Bytes(), []byte(r.Recipes[2].Log), []byte("LOG"))
		golden(t, "report"+ending, text)
	}
	var b bytes.Buffer
	if err := r.WriteAnnotations(&b, func(file string) string {
		if strings.HasPrefix(file, "catalog:") {
			return ""
		}
		return file
	}); err != nil {
		t.Fatal(err)
	}
	golden(t, "annotations.txt", b.Bytes())
	for _, line := range strings.Split(strings.TrimSpace(b.String()), "\n") {
		if !strings.HasPrefix(line, "::") || strings.Count(line, "::") < 2 {
			t.Errorf("%q is no workflow command", line)
		}
	}
}

// TestReportJSON holds that what is written can be read back.
func TestReportJSON(t *testing.T) {
	r := everything(t)
	var b bytes.Buffer
	var back Report
	if err := r.Write(&b, "r.json"); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || !reflect.DeepEqual(*r, back) {
		t.Errorf("%v: read back\n%+v", err, back)
	}
}

// element is a part of Jenkins' junit-10.xsd: what an element may have, its
// children in their order.
type element struct {
	required, optional, children []string
}

var junitSchema = map[string]element{
	"testsuites": {nil, []string{"name", "time", "tests", "failures", "disabled", "errors", "skipped"}, []string{"testsuite"}},
	"testsuite": {[]string{"name"}, []string{"tests", "failures", "errors", "time", "disabled", "skipped", "skips", "timestamp", "hostname", "id", "package"},
		[]string{"properties", "testcase", "system-out", "system-err"}},
	"properties": {nil, nil, []string{"property"}},
	"property":   {[]string{"name", "value"}, nil, nil},
	// GitLab reads the attribute file of a testcase; Jenkins passes it over.
	"testcase":   {[]string{"name", "classname"}, []string{"time", "assertions", "status", "file"}, []string{"skipped", "error", "failure", "system-out", "system-err"}},
	"skipped":    {nil, []string{"type", "message"}, nil},
	"error":      {nil, []string{"type", "message"}, nil},
	"failure":    {nil, []string{"type", "message"}, nil},
	"system-out": {}, "system-err": {},
}

// xmlNode is any element.
type xmlNode struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []xmlNode  `xml:",any"`
}

func (n xmlNode) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// follows checks an element against the schema, and its counts against what it holds.
func (n xmlNode) follows(t *testing.T) {
	t.Helper()
	rule, ok := junitSchema[n.XMLName.Local]
	if !ok {
		t.Fatalf("element %q is not of the schema", n.XMLName.Local)
	}
	for _, name := range rule.required {
		if n.attr(name) == "" {
			t.Errorf("%s has no attribute %s", n.XMLName.Local, name)
		}
	}
	for _, a := range n.Attrs {
		if !slices.Contains(append(slices.Clone(rule.required), rule.optional...), a.Name.Local) {
			t.Errorf("%s has the attribute %s", n.XMLName.Local, a.Name.Local)
		}
		if a.Name.Local == "time" {
			if _, err := strconv.ParseFloat(a.Value, 64); err != nil {
				t.Errorf("%s: %v", n.XMLName.Local, err)
			}
		}
	}
	last := 0
	for _, c := range n.Children {
		at := slices.Index(rule.children, c.XMLName.Local)
		if at < last {
			t.Errorf("%s has the child %s, or has it too late", n.XMLName.Local, c.XMLName.Local)
		}
		last = max(at, 0)
		c.follows(t)
	}
	if n.XMLName.Local == "testsuite" || n.XMLName.Local == "testsuites" {
		for attr, of := range map[string]string{"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"} {
			if got := fmt.Sprint(n.count(of)); got != n.attr(attr) {
				t.Errorf("%s %q: %s=%s, but it holds %s", n.XMLName.Local, n.attr("name"), attr, n.attr(attr), got)
			}
		}
		if len(n.Children) == 0 {
			t.Errorf("%s %q is empty", n.XMLName.Local, n.attr("name"))
		}
	}
}

func (n xmlNode) count(name string) int {
	sum := 0
	for _, c := range n.Children {
		if c.XMLName.Local == name {
			sum++
		}
		sum += c.count(name)
	}
	return sum
}

// TestJUnitSchema holds the report to the structure that Jenkins and GitLab document.
func TestJUnitSchema(t *testing.T) {
	var b bytes.Buffer
	if err := everything(t).Write(&b, "r.xml"); err != nil {
		t.Fatal(err)
	}
	var root xmlNode
	d := xml.NewDecoder(&b)
	if err := d.Decode(&root); err != nil {
		t.Fatal(err)
	}
	if end, err := d.Token(); err != nil || string(end.(xml.CharData)) != "\n" {
		t.Errorf("more than a line end follows: %v, %v", end, err)
	}
	root.follows(t)
	if root.attr("failures") != "3" || root.attr("errors") != "1" || root.attr("skipped") != "1" || len(root.Children) != 7 {
		t.Errorf("attributes are %v, %d suites", root.Attrs, len(root.Children))
	}
}

// TestSummaryLimit holds that a summary stays below what GitHub accepts.
func TestSummaryLimit(t *testing.T) {
	r := &Report{}
	for i := range 200 {
		r.Recipes = append(r.Recipes, Entry{Name: fmt.Sprint("r", i), Outcome: Failed, Stage: "engine", Error: strings.Repeat("x", 20000)})
	}
	var b bytes.Buffer
	if err := r.Write(&b, "r.md"); err != nil || b.Len() > 1<<20 || !strings.Contains(b.String(), "do not fit") {
		t.Errorf("%v, %d bytes", err, b.Len())
	}
}
