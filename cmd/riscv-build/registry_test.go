package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// filled is a registry with an image for riscv64, one for arm64 only, one that
// lies, and an index of two.
func filled(t *testing.T) *fakeRegistry {
	t.Helper()
	f := startFakeRegistry(t)
	f.image(t, "riscv64/busybox:1", "riscv64", machineRISCV64)
	f.image(t, "arm/busybox:1", "arm64", machineARM64)
	f.image(t, "liar/busybox:1", "riscv64", machineAMD64)
	f.index("multi:1", f.image(t, "multi:a", "amd64", machineAMD64), f.image(t, "multi:r", "riscv64", machineRISCV64))
	f.index("arms:1", f.image(t, "arms:a", "arm64", machineARM64))
	return f
}

func TestRegistryLs(t *testing.T) {
	f := filled(t)
	f.fail["/v2/arms/tags/list"] = http.StatusForbidden
	code, stdout, stderr := do(t, "registry", "ls", f.URL)
	if code != exitNetwork || !strings.Contains(stderr, `repository "arms"`) {
		t.Errorf("exit %d, %s", code, stderr)
	}
	for _, want := range []string{"arm/busybox:1", "linux/arm64", "multi:1", "riscv64/busybox:1", "linux/riscv64", "0.00 MB"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	delete(f.fail, "/v2/arms/tags/list")
	code, stdout, _ = do(t, "registry", "ls", f.URL+"/riscv64", "--json")
	var doc struct {
		Results []struct {
			Name string
			Tags []struct {
				Name   string
				Images []struct {
					Platform string
					Size     int64
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 || len(doc.Results) != 1 ||
		doc.Results[0].Tags[0].Images[0].Platform != "linux/riscv64" || doc.Results[0].Tags[0].Images[0].Size < 1000 {
		t.Errorf("exit %d, %v, %s", code, err, stdout)
	}
}

// configured writes a configuration file, which do would replace.
func configured(t *testing.T, text string) func(args ...string) (int, string, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "riscv-build"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "riscv-build", "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(args ...string) (int, string, string) {
		t.Setenv("XDG_CONFIG_HOME", dir)
		var out, errs strings.Builder
		code := run(t.Context(), append([]string{"riscv-build"}, args...), &out, &errs)
		return code, out.String(), errs.String()
	}
}

func TestRegistryOfTheConfiguration(t *testing.T) {
	f := filled(t)
	run := configured(t, "[registries.\""+f.host+"\"]\nplain_http = true\n")
	if code, stdout, stderr := run("registry", "ls"); code != 0 || !strings.Contains(stdout, "riscv64/busybox:1") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr := do(t, "registry", "ls"); code != exitUsage || !strings.Contains(stderr, "none is named") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestRegistryInspect(t *testing.T) {
	f := filled(t)
	code, stdout, stderr := do(t, "registry", "inspect", f.ref("multi:1"))
	if code != 0 {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	for _, want := range []string{"linux/amd64", "layers of linux/riscv64", "tar", `["/bin/busybox","sh"]`, "A=b c", "riscv64 (1 files)", "/bin/busybox"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	code, stdout, _ = do(t, "registry", "inspect", f.ref("liar/busybox:1"), "--json")
	var doc inspected
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || code != 0 || doc.Image.Machines["amd64"] != 1 || len(doc.Images) != 1 {
		t.Errorf("exit %d, %v, %s", code, err, stdout)
	}
	code, stdout, stderr = do(t, "registry", "inspect", f.ref("multi:1"), "--platform", "linux/s390x")
	if code != exitFailed || !strings.Contains(stderr, "only linux/amd64, linux/riscv64") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
}

func TestRegistryRm(t *testing.T) {
	f := filled(t)
	at := "/v2/riscv64/busybox/manifests/1"
	code, stdout, _ := do(t, "registry", "rm", "--dry-run", f.ref("riscv64/busybox:1"))
	if code != 0 || !strings.Contains(stdout, "would delete tag") || f.files[at].raw == nil {
		t.Errorf("exit %d, %s", code, stdout)
	}
	code, stdout, stderr := do(t, "registry", "rm", f.ref("riscv64/busybox:1"), f.ref("nope:1"))
	if code != exitNetwork || !strings.Contains(stdout, "deleted tag") || !strings.Contains(stderr, "garbage collection") ||
		!strings.Contains(stderr, "404") || f.files[at].raw != nil {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
	f.fail["/v2/multi/manifests/1"] = http.StatusMethodNotAllowed
	if code, _, stderr := do(t, "registry", "rm", f.ref("multi")); code != exitUsage || !strings.Contains(stderr, "names no tag") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// TestCopyRefusesOtherMachines is what happens to images as people pull, tag
// and push them.
func TestCopyRefusesOtherMachines(t *testing.T) {
	f := filled(t)
	to := f.ref("mine/busybox:1")
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"arm/busybox:1 --platform linux/riscv64", "no linux/riscv64 image, only linux/arm64", exitFailed},
		{"arms:1", "no linux/riscv64 image, only linux/arm64", exitFailed},
		{"liar/busybox:1", "/bin/busybox is an ELF file for amd64", exitFailed},
		{"nope:1", "404", exitNetwork},
		{"multi:1 --all --platform linux/arm64", "--all takes all", exitUsage},
	} {
		args := strings.Fields(c.args)
		code, _, stderr := do(t, append([]string{"copy", f.ref(args[0]), to}, args[1:]...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit %d, %s", c.args, code, stderr)
		}
		if f.files["/v2/mine/busybox/manifests/1"].raw != nil {
			t.Fatalf("%s: copied although refused", c.args)
		}
	}
	for _, args := range []string{"multi:1", "multi:1 --all", "arms:1 --platform linux/arm64", "liar/busybox:1 --allow-other-arch"} {
		words := strings.Fields(args)
		code, stdout, stderr := do(t, append([]string{"copy", f.ref(words[0]), to}, words[1:]...)...)
		if code != 0 || !strings.Contains(stdout, f.host+"/mine/busybox:1") {
			t.Errorf("%s: exit %d, %s%s", args, code, stdout, stderr)
		}
	}
}

func TestPushIntoAnIndex(t *testing.T) {
	f := filled(t)
	dir := filepath.Join(t.TempDir(), "lay")
	if code, _, stderr := do(t, "copy", f.ref("riscv64/busybox:1"), "oci:"+dir); code != 0 {
		t.Fatal(stderr)
	}
	if code, stdout, stderr := do(t, "push", "--index", dir, f.ref("arms:1")); code != 0 {
		t.Fatalf("exit %d, %s%s", code, stdout, stderr)
	}
	raw := string(f.files["/v2/arms/manifests/1"].raw)
	if !strings.Contains(raw, `"arm64"`) || !strings.Contains(raw, `"riscv64"`) {
		t.Errorf("got %s", raw)
	}
	if code, _, stderr := do(t, "busybox", "--index"); code != exitUsage || !strings.Contains(stderr, "--push") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestAge(t *testing.T) {
	now := time.Date(2026, 11, 5, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "now", time.Minute: "1 minute", 3 * time.Hour: "3 hours", 25 * time.Hour: "1 day", 90 * 24 * time.Hour: "3 months",
		800 * 24 * time.Hour: "2 years", -time.Hour: "now",
	} {
		at := now.Add(-ago)
		if got := age(&at, now); got != want {
			t.Errorf("%s: got %q", ago, got)
		}
	}
	epoch := time.Unix(0, 0)
	if age(nil, now) != "-" || age(&epoch, now) != "-" {
		t.Error("an image without a time has an age")
	}
}
