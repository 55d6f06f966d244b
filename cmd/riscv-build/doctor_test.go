package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// archiveServer has what doctor asks mirrors for.
func archiveServer(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	t.Setenv("RISCV_BUILD_MIRROR", server.URL+"/debian")
	t.Setenv("RISCV_BUILD_SECURITY_MIRROR", server.URL+"/debian-security")
}

// diagnosed is the document of `doctor --json`, its findings by name.
func diagnosed(t *testing.T, args ...string) (code int, findings map[string]doctorFinding) {
	t.Helper()
	code, stdout, stderr := do(t, append([]string{"doctor", "--json"}, args...)...)
	var doc struct {
		OK       bool
		Findings []doctorFinding
	}
	if err := json.Unmarshal([]byte(stdout), &doc); err != nil || len(doc.Findings) < 4 {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	if want := map[bool]int{true: exitOK, false: exitEnvironment}[doc.OK]; code != want {
		t.Errorf("exit %d, but ok is %v", code, doc.OK)
	}
	findings = map[string]doctorFinding{}
	for _, f := range doc.Findings {
		findings[f.Name] = f
	}
	return code, findings
}

type doctorFinding struct {
	Name                string
	OK                  bool
	Severity, What, Fix string
}

func TestDoctorContainerd(t *testing.T) {
	archiveServer(t)
	t.Setenv("RISCV_BUILD_CONTAINERD", "none")
	if _, found := diagnosed(t); found["containerd"].Name != "" {
		t.Errorf("not wanted, but %+v", found["containerd"])
	}
	code, found := diagnosed(t, "--containerd", filepath.Join(t.TempDir(), "none.sock"))
	if f := found["containerd"]; code != exitEnvironment || f.OK || f.Severity != "error" || !strings.Contains(f.What, "no such socket") {
		t.Errorf("exit %d, %+v", code, f)
	}
	if code, _, stderr := do(t, "doctor", "--containerd", "relative.sock"); code != exitUsage || !strings.Contains(stderr, "no absolute path") {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestDoctorRegistry(t *testing.T) {
	archiveServer(t)
	t.Setenv("RISCV_BUILD_CONTAINERD", "none")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, c := range []struct {
		registry string
		ok       bool
		what     string
	}{
		{host + "/team", true, server.URL + " answers"}, // on this machine: every client tries HTTP
		{"http://127.0.0.1:1", false, "nothing listens there"},
	} {
		_, found := diagnosed(t, "--registry", c.registry)
		if f := found["registry"]; f.OK != c.ok || !f.OK && f.Severity != "warning" || !strings.Contains(f.What, c.what) {
			t.Errorf("%s: got %+v", c.registry, f)
		}
		if f := found["registry clients"]; c.ok && !f.OK {
			t.Errorf("%s: got %+v", c.registry, f)
		}
	}
	if code, _, stderr := do(t, "doctor", "--registry", "a b"); code != exitUsage {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

func TestDoctorIsReadable(t *testing.T) {
	archiveServer(t)
	t.Setenv("RISCV_BUILD_CONTAINERD", "none")
	_, stdout, _ := do(t, "doctor", "--mirror", "http://127.0.0.1:1/debian")
	for line := range strings.Lines(stdout) {
		var mark, rest string
		if _, err := fmt.Sscanf(line, "%s %s", &mark, &rest); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		switch mark {
		case "ok", "info", "warning", "error":
			if len(line) < 29 || line[8] != ' ' || line[27] != ' ' {
				t.Errorf("not in columns: %q", line)
			}
		case "why:", "fix:":
		default:
			t.Errorf("%q", line)
		}
	}
	if !strings.Contains(stdout, "error    mirror             asking mirror") {
		t.Errorf("got\n%s", stdout)
	}
}
