package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	names "github.com/distribution/reference"
)

// manifest writes a file that names images.
func manifestOf(t *testing.T, images ...string) string {
	t.Helper()
	text := "kind: Pod\nspec:\n  containers:\n"
	for _, i := range images {
		text += fmt.Sprintf("  - image: %q\n", i)
	}
	path := filepath.Join(t.TempDir(), "pod.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAudit(t *testing.T) {
	up, mine := filled(t), startFakeRegistry(t)
	mine.image(t, "riscv64/team/app:1", "riscv64", machineRISCV64)
	mine.image(t, "team/other:1", "arm64", machineARM64)
	up.fail["/v2/broken/manifests/1"] = http.StatusForbidden
	gone := startFakeRegistry(t)
	gone.Close()
	for _, c := range []struct {
		image                       string
		verdict, upstream, registry string
		reason                      string
		code                        int
	}{
		{up.host + "/multi:1", "yes", "yes", "no", "", 0},
		{up.host + "/arms:1", "no", "no", "no", "it is there for linux/arm64 only", exitFailed},
		{up.host + "/arm/busybox:1", "no", "no", "no", "it is there for linux/arm64 only", exitFailed},
		{up.host + "/team/app:1", "yes", "no", "yes", "there is no such image", 0},
		{up.host + "/team/other:1", "no", "no", "no", "there is no such image", exitFailed},
		{up.host + "/busybox:1.37", "yes", "no", "no", "there is no such image", 0}, // a recipe
		{up.host + "/library/nginx:1.5", "no", "no", "no", "there is no such image", exitFailed},
		{up.host + "/broken:1", "unknown", "unknown", "no", "403 Forbidden", 0},
		{gone.host + "/x:1", "unknown", "unknown", "no", "nothing listens there", 0},
		{mine.host + "/riscv64/team/app:1", "yes", "not asked", "yes", "", 0},
		{mine.host + "/team/other:1", "no", "not asked", "no", "", exitFailed},
		{"Not a name", "no", "no", "not asked", "invalid reference format", exitFailed},
	} {
		path := manifestOf(t, c.image, up.host+"/riscv64/busybox:1")
		code, stdout, stderr := do(t, "audit", path, "--json", "--registry", mine.URL)
		var doc struct {
			Results []availability
			Error   string
		}
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil || len(doc.Results) != 2 {
			t.Fatalf("%s: %v, %s%s", c.image, err, stdout, stderr)
		}
		got := doc.Results[0]
		if got.Image != c.image {
			got = doc.Results[1]
		}
		if code != c.code || got.Verdict != c.verdict || got.Upstream.State != c.upstream || got.Registry.State != c.registry ||
			!strings.Contains(got.Upstream.Reason, c.reason) {
			t.Errorf("%s: exit %d, %+v", c.image, code, got)
		}
		if len(got.At) != 1 || got.At[0].File != path || got.At[0].Line != 4 || got.At[0].In != "Pod" {
			t.Errorf("%s: at %+v", c.image, got.At)
		}
		if (c.code != 0) != strings.Contains(stderr, "nowhere") || (c.verdict == "unknown") != strings.Contains(stderr, "are unknown") {
			t.Errorf("%s: said %s", c.image, stderr)
		}
	}
}

func TestAuditFiles(t *testing.T) {
	f := filled(t)
	t.Setenv("AUDIT_TAG", "1")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"compose.yaml": "services:\n  a: {image: '" + f.host + "/${REPO}:$AUDIT_TAG'}\n",
		".env":         "REPO=multi\nAUDIT_TAG=2\n",
		"empty.yaml":   "a: b\n",
		"bad.yaml":     "a: [\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	compose := filepath.Join(dir, "compose.yaml")
	code, stdout, stderr := do(t, "audit", compose, filepath.Join(dir, "empty.yaml"))
	if code != 0 || !strings.Contains(stdout, f.host+"/multi:1") || !strings.Contains(stdout, "compose.yaml:2") || !strings.Contains(stderr, "names no image") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = do(t, "audit", compose, filepath.Join(dir, "bad.yaml"), filepath.Join(dir, "none.yaml"))
	if code != exitUsage || !strings.Contains(stderr, "bad.yaml") || !strings.Contains(stderr, "none.yaml") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	if code, _, stderr = do(t, "audit"); code != exitUsage || !strings.Contains(stderr, "standard input") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestSearch(t *testing.T) {
	f := filled(t)
	code, stdout, stderr := do(t, "search", f.host+"/x/busybox:1", "--registry", f.URL)
	if code != 0 || !strings.Contains(stdout, "repository "+f.host+"/riscv64/busybox\n") || !strings.Contains(stdout, "recipe busybox\n") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = do(t, "search", f.host+"/x/unheard-of", "--registry", f.URL)
	if code != exitFailed || !strings.Contains(stderr, "is nowhere") {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	if code, _, stderr = do(t, "search", "Not a name"); code != exitUsage {
		t.Errorf("exit %d\n%s", code, stderr)
	}
}

func TestInCatalogue(t *testing.T) {
	for image, want := range map[string]string{
		"nginx": "yes", "nginx:1.26": "yes", "nginx:1": "yes", "nginx:1.26-alpine": "yes", "nginx:1.27": "no", "nginx:1.2": "no",
		"bitnami/nginx:1.26": "no", "rancher/mirrored-library-busybox:1.37.0": "yes", "public.example/docker/library/redis:8": "yes",
		"unheard/of": "no", "nginx@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": "no",
	} {
		named, err := names.ParseDockerRef(image)
		if err != nil {
			t.Fatal(err)
		}
		if got := inCatalogue(named); got.State != want {
			t.Errorf("%s: got %+v", image, got)
		}
	}
}
