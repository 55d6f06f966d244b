package tests

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// workflow is an example for a CI service: what its keys are, and what is run
// as the service would run it.
type workflow struct {
	file    string
	scripts func(t *testing.T, doc map[string]any) []string // each of a shell of its own
	report  string                                          // where the table of recipes ends up
}

var workflows = []workflow{
	{"github.yml", githubScripts, "summary.md"},
	{"gitlab.yml", gitlabScripts, "report.md"},
	{"woodpecker.yml", woodpeckerScripts, "report.md"},
}

// keys fails on a key that the service does not know, or that is not there.
func keys(t *testing.T, what string, v any, needed, optional []string) map[string]any {
	t.Helper()
	m, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%s is %T, not a map", what, v)
	}
	for _, k := range needed {
		if m[k] == nil {
			t.Errorf("%s has no %s", what, k)
		}
	}
	for k := range m {
		if !slices.Contains(needed, k) && !slices.Contains(optional, k) {
			t.Errorf("%s has the key %s, which is not known", what, k)
		}
	}
	return m
}

func githubScripts(t *testing.T, doc map[string]any) (scripts []string) {
	keys(t, "the workflow", doc, []string{"name", "on", "jobs", "permissions"}, []string{"concurrency", "env", "defaults"})
	keys(t, "on", doc["on"], []string{"push", "schedule"}, []string{"workflow_dispatch", "pull_request"})
	jobs := keys(t, "jobs", doc["jobs"], []string{"images"}, nil)
	job := keys(t, "the job", jobs["images"], []string{"runs-on", "steps"}, []string{"env", "timeout-minutes", "permissions"})
	uses := []string{}
	for _, s := range job["steps"].([]any) {
		step := keys(t, "a step", s, nil, []string{"name", "uses", "run", "env", "if", "with"})
		run, isRun := step["run"].(string)
		action, isAction := step["uses"].(string)
		switch {
		case isRun == isAction:
			t.Errorf("step %v has not exactly one of run and uses", step)
		case isAction:
			uses = append(uses, action)
		case strings.Contains(run, "${{"):
			t.Errorf("an expression is pasted into a script: %s", run)
		default:
			scripts = append(scripts, run)
		}
	}
	if len(uses) != 2 || !strings.HasPrefix(uses[0], "actions/checkout@") || !strings.HasPrefix(uses[1], "actions/upload-artifact@") {
		t.Errorf("actions are %v", uses)
	}
	return scripts
}

func gitlabScripts(t *testing.T, doc map[string]any) []string {
	job := keys(t, "the pipeline", doc, []string{"images"}, nil)["images"]
	j := keys(t, "the job", job, []string{"image", "script", "rules", "artifacts"}, []string{"tags", "timeout", "resource_group", "variables", "before_script"})
	reports := keys(t, "artifacts", j["artifacts"], []string{"when", "paths", "reports"}, nil)["reports"]
	keys(t, "reports", reports, []string{"junit"}, nil)
	for _, rule := range j["rules"].([]any) {
		keys(t, "a rule", rule, []string{"if"}, []string{"changes"})
	}
	return []string{joined(j["script"])}
}

func woodpeckerScripts(t *testing.T, doc map[string]any) []string {
	keys(t, "the workflow", doc, []string{"when", "steps"}, nil)
	for _, w := range doc["when"].([]any) {
		keys(t, "when", w, []string{"event"}, []string{"branch", "path", "cron"})
	}
	var scripts []string
	for _, s := range doc["steps"].([]any) {
		step := keys(t, "a step", s, []string{"name", "image", "commands"}, []string{"environment", "privileged"})
		scripts = append(scripts, strings.ReplaceAll(joined(step["commands"]), "$${", "${"))
	}
	return scripts
}

// joined are commands as one script.
func joined(v any) string {
	var lines []string
	for _, c := range v.([]any) {
		lines = append(lines, c.(string))
	}
	return strings.Join(lines, "\n")
}

// TestExamplesOfCI reads each example as its service would and runs its
// commands: the images are pushed, the reports are there, and a second run
// finds that nothing has changed.
func TestExamplesOfCI(t *testing.T) {
	need(t, "curl", "curl")
	release := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, rig.Binary) }))
	defer release.Close()
	s := emptyState(t, "state") // of all: the downloads are the same
	for _, f := range workflows {
		t.Run(f.file, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(root(), "examples/ci", f.file))
			if err != nil {
				t.Fatal(err)
			}
			var doc map[string]any
			if err := yaml.Unmarshal(text, &doc); err != nil {
				t.Fatal(err)
			}
			c := newCheckout(t, registry(t), release.URL, s.dir)
			scripts := f.scripts(t, doc)
			c.run(t, scripts)
			c.pushed(t, f.report, "| bottom 1 | built")
			c.run(t, scripts)
			c.pushed(t, f.report, "| bottom 1 | unchanged")
		})
	}
}

// checkout is a working copy with recipes, on a CI machine.
type checkout struct {
	dir, registry string
	env           []string
}

func newCheckout(t *testing.T, registry, release, state string) *checkout {
	t.Helper()
	c := &checkout{dir: t.TempDir(), registry: registry}
	for _, name := range []string{"bottom.toml", "middle.toml"} {
		text, err := os.ReadFile(filepath.Join("testdata/bases", name))
		if err == nil {
			err = os.MkdirAll(filepath.Join(c.dir, "recipes"), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(c.dir, "recipes", name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// A test is root already; a runner of GitHub has sudo.
	path := filepath.Join(t.TempDir(), "bin")
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "sudo"), []byte("#!/bin/sh\n[ \"$1\" = -E ] && shift\nexec \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	c.env = []string{
		"PATH=" + path + ":" + os.Getenv("PATH"), "REGISTRY=" + registry + "/team", "RISCV_BUILD_URL=" + release, "RISCV_BUILD_STATE_DIR=" + state,
		"DOCKER_CONFIG=" + filepath.Join(c.dir, ".docker"), "REGISTRY_USER=anna", "REGISTRY_PASSWORD=it's 100%",
		"GITHUB_ACTIONS=true", "GITHUB_WORKSPACE=" + c.dir, "GITHUB_STEP_SUMMARY=" + filepath.Join(c.dir, "summary.md"),
	}
	return c
}

func (c *checkout) run(t *testing.T, scripts []string) {
	t.Helper()
	for _, script := range scripts {
		r := command(context.Background(), c.env, "sh", "-c", "cd \"$0\" && set -e\n"+script, c.dir)
		if r.Code != 0 {
			t.Fatalf("exit %d of\n%s\n%s\n%s", r.Code, script, r.Stdout, tail(r.Stderr, 30))
		}
	}
}

// pushed checks what a run leaves: reports, the account, and images.
func (c *checkout) pushed(t *testing.T, report, row string) {
	t.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(c.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	if text := string(read(report)); !strings.Contains(text, row) {
		t.Errorf("%s has no %q:\n%s", report, row, text)
	}
	var account struct {
		Auths map[string]struct{ Auth []byte }
	}
	if err := json.Unmarshal(read(".docker/config.json"), &account); err != nil || string(account.Auths[c.registry].Auth) != "anna:it's 100%" {
		t.Errorf("the account is %v (%v)", account, err)
	}
	if text, err := os.ReadFile(filepath.Join(c.dir, "report.xml")); err == nil {
		var suites struct {
			Failures int `xml:"failures,attr"`
			Tests    int `xml:"tests,attr"`
		}
		if err := xml.Unmarshal(text, &suites); err != nil || suites.Failures != 0 || suites.Tests == 0 {
			t.Errorf("the JUnit report is %+v, %v", suites, err)
		}
	}
	for _, name := range []string{"riscv64/bottom:1", "riscv64/middle:1"} {
		if r := run(context.Background(), nil, "registry", "inspect", c.registry+"/team/"+name); r.Code != 0 {
			t.Errorf("%s is not in the registry: %s", name, r.Stderr)
		}
	}
}
