package host

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	built := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	now := built.Add(time.Hour)
	server := func(date time.Time) heard { return heard{server: "http://mirror", date: date, at: now} }
	for _, c := range []struct {
		name   string
		before time.Time
		now    time.Time
		other  heard
		want   Finding
		mends  bool
	}{
		{"good", built, now, server(now.Add(time.Minute)), Finding{OK: true, Severity: Error, What: "2026-11-01 01:00 UTC"}, false},
		{"nobody to ask", built, now, heard{}, Finding{OK: true, Severity: Error, What: "2026-11-01 01:00 UTC"}, false},
		{"1970", built, time.Unix(60, 0), heard{}, Finding{Severity: Error, What: "1970-01-01 00:01 UTC, but this program was built on 2026-11-01"}, false},
		{"1970, build unknown", time.Time{}, time.Unix(60, 0), heard{}, Finding{Severity: Error, What: "the clock says 1970"}, false},
		{"1970, a mirror knows", built, time.Unix(60, 0), server(now), Finding{Severity: Error, What: "1970"}, true},
		{"1970 there too", built, time.Unix(60, 0), server(time.Unix(50, 0)), Finding{Severity: Error, What: "1970"}, false},
		{"behind", built, now, server(now.Add(24 * time.Hour)), Finding{Severity: Warning, What: "http://mirror says 2026-11-02"}, false},
		{"ahead", built, now, server(now.Add(-24 * time.Hour)), Finding{Severity: Warning, What: "http://mirror says 2026-10-31"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := machine{goos: "linux"}.clock(c.before, c.now, c.other)
			complete(t, f)
			if f.OK != c.want.OK || f.Severity != c.want.Severity || !strings.Contains(f.What, c.want.What) || (f.mend != nil) != c.mends {
				t.Errorf("got %+v", f)
			}
		})
	}
}

// archiveServer has what a mirror has.
func archiveServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method + r.URL.Path {
		case "HEAD/debian/dists/stable/InRelease", "HEAD/debian-security/dists/stable-security/InRelease":
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestMirrors(t *testing.T) {
	url := archiveServer(t)
	const nobody = "http://127.0.0.1:1"
	full := t.TempDir()
	blob := filepath.Join(full, "content", "blobs", "sha256", "abc")
	if err := os.MkdirAll(filepath.Dir(blob), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(blob, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    Options
		want map[string]Finding
	}{
		{"none named", Options{}, nil},
		{"both answer", Options{Mirrors: []string{url + "/debian/", nobody}, Security: []string{url + "/debian-security"}},
			map[string]Finding{"mirror": {OK: true, What: "/debian/ answers"}, "security mirror": {OK: true, What: "answers"}}},
		{"the second", Options{Mirrors: []string{nobody, url + "/debian"}}, map[string]Finding{"mirror": {OK: true, What: "the first, " + nobody + ", does not"}}},
		{"none there", Options{StateDir: t.TempDir(), Mirrors: []string{nobody}}, map[string]Finding{"mirror": {Severity: Error, What: "refused"}}},
		{"none there, but content", Options{StateDir: full, Mirrors: []string{nobody}}, map[string]Finding{"mirror": {Severity: Warning, What: "refused"}}},
		{"no mirror", Options{Mirrors: []string{url + "/elsewhere"}}, map[string]Finding{"mirror": {Severity: Error, What: "404"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := tree(t, nil).network(context.Background(), c.o)
			for _, f := range r.findings {
				complete(t, f)
				want, ok := c.want[f.Name]
				delete(c.want, f.Name)
				if ok && (f.OK != want.OK || !f.OK && f.Severity != want.Severity || !strings.Contains(f.What, want.What)) {
					t.Errorf("got %+v", f)
				}
				if f.Name == "mirror" && f.OK == r.date.date.IsZero() {
					t.Errorf("the time that the mirror told: %+v", r.date)
				}
			}
			if len(c.want) > 0 {
				t.Errorf("missing: %v", c.want)
			}
		})
	}
}

func TestDNS(t *testing.T) {
	m := tree(t, map[string]string{"/etc/resolv.conf": "search lan\nnameserver 10.0.2.3\nnameserver fd00::1\n"})
	for mirror, want := range map[string]Finding{
		"http://localhost/debian":       {OK: true, What: "localhost resolves by 10.0.2.3, fd00::1"},
		"http://[::1]:80/debian":        {OK: true, What: "named by its address"},
		"http://nowhere.invalid/debian": {What: "nowhere.invalid does not resolve by 10.0.2.3, fd00::1"},
		"http:///debian":                {What: "has no host"},
	} {
		f := m.dns(context.Background(), mirror)
		complete(t, f)
		if f.OK != want.OK || !strings.Contains(f.What, want.What) {
			t.Errorf("%s: got %+v", mirror, f)
		}
	}
}

func TestProxy(t *testing.T) {
	for _, c := range []struct {
		env      map[string]string
		registry string
		ok       bool
		what     string
	}{
		{nil, "http://10.0.0.5:6000", true, "none"},
		{map[string]string{"http_proxy": "http://u:secret@proxy:3128"}, "", true, "HTTP_PROXY http://u:xxxxx@proxy:3128"},
		{map[string]string{"HTTPS_PROXY": "proxy:3128", "no_proxy": "lan"}, "", true, "HTTPS_PROXY http://proxy:3128, NO_PROXY lan"},
		{map[string]string{"HTTP_PROXY": "http://"}, "", false, "has no host"},
		{map[string]string{"HTTP_PROXY": "ftp://proxy"}, "", false, `scheme "ftp"`},
		{map[string]string{"HTTP_PROXY": "http://u:secret@pro xy"}, "", false, "cannot be read"},
		{map[string]string{"HTTP_PROXY": "http://proxy"}, "http://10.0.0.5:6000", false, "NO_PROXY does not name the registry 10.0.0.5:6000"},
		{map[string]string{"HTTP_PROXY": "http://proxy", "NO_PROXY": "10.0.0.0/8"}, "http://10.0.0.5:6000", true, "NO_PROXY 10.0.0.0/8"},
		{map[string]string{"HTTP_PROXY": "http://proxy"}, "http://127.0.0.1:6000", true, "HTTP_PROXY http://proxy"},
		{map[string]string{"HTTPS_PROXY": "http://proxy"}, "https://registry.lan", false, "NO_PROXY does not name the registry registry.lan"},
		{map[string]string{"HTTPS_PROXY": "http://proxy"}, "https://registry.example", true, "HTTPS_PROXY"},
	} {
		m := machine{getenv: func(k string) string { return c.env[k] }}
		f := m.proxy(c.registry)
		complete(t, f)
		if f.OK != c.ok || !strings.Contains(f.What, c.what) || strings.Contains(f.What, "secret") {
			t.Errorf("%v: got %+v", c.env, f)
		}
	}
}

func TestRegistry(t *testing.T) {
	for _, c := range []struct {
		r      Registry
		what   string
		failed bool
		mends  bool
	}{
		{Registry{Problem: "connecting: refused"}, "refused", true, false},
		{Registry{Address: "https://r.example"}, "https://r.example answers", false, false},
		{Registry{Address: "http://10.0.0.5:6000"}, "none here", false, false},
		{Registry{Address: "http://10.0.0.5:6000", Clients: []string{"k3s"}}, "configured: k3s", false, false},
		{Registry{Address: "http://10.0.0.5:6000", Clients: []string{"docker", "k3s"}, Unaware: []string{"k3s"}, Configure: func(func(string)) error { return nil }},
			"HTTP registry not configured: k3s", true, true},
		{Registry{Address: "http://10.0.0.5:6000", Clients: []string{"k3s"}, Refused: "registries.yaml is wrong"}, "registries.yaml is wrong", true, false},
	} {
		all := c.r.findings()
		for _, f := range all {
			complete(t, f)
		}
		last := all[len(all)-1]
		if last.OK == c.failed || !strings.Contains(last.What, c.what) || (last.mend != nil) != c.mends || Failed(all) {
			t.Errorf("%+v: got %+v", c.r, all)
		}
	}
}

func TestMendSaysWhatIsLeft(t *testing.T) {
	var did []string
	err := Mend(context.Background(), []Finding{
		good("fine", Error, ""),
		{Name: "here", mend: func(_ context.Context, report func(string)) error { report("done"); return nil }},
		{Name: "there", Fix: "apt-get install it"},
	}, func(s string) { did = append(did, s) })
	if len(did) != 1 || err == nil || err.Error() != `mending "there": that is left to you: apt-get install it` {
		t.Errorf("did %q, left %v", did, err)
	}
}
