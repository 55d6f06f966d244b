package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/batch"
	"github.com/riscv-build/riscv-build/builder/service"
)

// chain writes recipes low, and high, which stands on it, into a directory.
func chain(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, base := range map[string]string{"low": "scratch", "high": "recipe:low"} {
		text := "schema = 1\nname = \"" + name + "\"\nversion = \"1\"\nlicense = \"MIT\"\n[image]\nbase = \"" + base + "\"\npackages = [\"tzdata\"]\n[push]\nrepository = \"riscv64/" + name + "\"\ntags = [\"1\"]\n"
		if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// uploaded are the recipes of submissions.
func uploaded(f *fakeService) []string {
	var names []string
	for _, s := range f.submitted {
		names = append(names, s.Upload.Recipes...)
	}
	return names
}

func TestBatchByTheServiceOfThisMachine(t *testing.T) {
	f := ended(service.Succeeded, 0, "")
	f.end.Result.Engine = "embedded"
	state, dir := startHere(t, f), chain(t)
	code, stdout, stderr := do(t, "batch", dir, "--state-dir", state, "--json", "--progress", "plain")
	var r batch.Report
	if err := json.Unmarshal([]byte(stdout), &r); code != 0 || err != nil || r.Exit != 0 || len(r.Recipes) != 2 || !strings.Contains(stderr, "the service of this machine") {
		t.Fatalf("exit %d, %v\n%s\n%s", code, err, stdout, stderr)
	}
	if got := uploaded(f); !slices.Equal(got, []string{"low.toml", "high.toml"}) {
		t.Errorf("built %v", got)
	}
	if e := r.Recipes[1]; e.Name != "high" || e.Outcome != batch.Built || e.Digest != "sha256:abc" || r.Engine != "embedded" || r.Totals.Execs.Run != 1 {
		t.Errorf("got %+v\n%+v", r, e)
	}
	if s := f.submitted[1]; !s.Options.NoPush || len(s.Upload.Files) < 3 { // with its base and the lock that came with it
		t.Errorf("got %+v", s)
	}
	f.end.Result.Outcome, f.submitted = builder.OutcomeUnchanged, nil
	code, stdout, stderr = do(t, "batch", dir, "--state-dir", state, "--push", "h:1", "--changed", "--only", "l*")
	if code != 0 || !strings.Contains(stdout, "1 unchanged") || len(f.submitted) != 1 || !f.submitted[0].Options.Changed || f.submitted[0].Options.NoPush {
		t.Errorf("exit %d\n%s\n%s\n%+v", code, stdout, stderr, f.submitted)
	}
}

func TestBatchByAServiceFails(t *testing.T) {
	f := ended(service.Failed, exitNetwork, "pushing: no answer")
	f.end.Result.Stage = "push"
	url, dir := startFakeService(t, f), chain(t)
	t.Setenv(envServer, "")
	report := filepath.Join(t.TempDir(), "report.json")
	code, stdout, stderr := do(t, "batch", dir, "--server", url, "--keep-going", "--report", report, "--progress", "plain")
	if code != exitNetwork || !strings.Contains(stdout, "low:1 failed in stage push (network)") || !strings.Contains(stdout, "it stands on low") || !strings.Contains(stderr, "pushing: no answer") {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	text, err := os.ReadFile(report)
	var r batch.Report
	if err != nil || json.Unmarshal(text, &r) != nil || r.Exit != exitNetwork || r.Recipes[0].Log == "" {
		t.Fatalf("%v\n%s", err, text)
	}
	if log, err := os.ReadFile(r.Recipes[0].Log); err != nil || !strings.Contains(string(log), "printed by the step") {
		t.Errorf("%v, %s", err, log)
	}
	for _, flag := range []string{"--plan", "--resume", "--offline"} {
		if code, _, stderr := do(t, "batch", dir, "--server", url, flag); code != exitUsage || !strings.Contains(stderr, flag) {
			t.Errorf("%s: exit %d, %s", flag, code, stderr)
		}
	}
}

// TestABatchThatIsInterruptedEndsItsBuild: the service would go on without it.
func TestABatchThatIsInterruptedEndsItsBuild(t *testing.T) {
	f := ended(service.Succeeded, 0, "")
	state, dir := startHere(t, f), chain(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	ctx, interrupt := context.WithCancel(t.Context())
	f.begun = interrupt
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"riscv-build", "batch", dir, "--state-dir", state, "-k"}, &stdout, &stderr)
	if code != exitInterrupted || !strings.Contains(stdout.String(), "1 interrupted, 1 not started") || !slices.Equal(f.cancelled, []int64{7}) {
		t.Errorf("exit %d, cancelled %v\n%s\n%s", code, f.cancelled, &stdout, &stderr)
	}
}
