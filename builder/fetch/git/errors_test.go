package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestErrors looks at what each fault is called, and that it names source and place.
func TestErrors(t *testing.T) {
	root := t.TempDir()
	hash, _ := sample(t, filepath.Join(root, "x"))
	gitCommand(t, filepath.Join(root, "x"), "tag", "-a", "-m", "release", "v1", hash)
	tag := gitCommand(t, filepath.Join(root, "x"), "rev-parse", "v1")
	if err := os.Mkdir(filepath.Join(root, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	gitCommand(t, root, "init", "-q", "--bare", "new.git")
	s := serve(t, root)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/broken"):
			http.Error(w, "down", http.StatusBadGateway)
		case strings.HasPrefix(r.URL.Path, "/secret"):
			http.Error(w, "who are you", http.StatusUnauthorized)
		}
		fmt.Fprintln(w, "<html>welcome</html>")
	}))
	t.Cleanup(web.Close)
	none := "1234567890123456789012345678901234567890"
	for _, c := range []struct {
		url, hash string
		exit      int
		want      []string
	}{
		{"http://127.0.0.1:1/x.git", hash, 4, []string{"connection refused", "check the network"}},
		{web.URL + "/broken.git", hash, 4, []string{"502", "check the network"}},
		{web.URL + "/secret.git", hash, 4, []string{"authentication required", "netrc"}},
		{web.URL + "/page.git", hash, 4, []string{"no git repository, but something else", "git ls-remote"}},
		{s.URL + "/none.git", hash, 4, []string{"there is no git repository", "git ls-remote"}},
		{"file://" + root + "/none.git", hash, 4, []string{"no such file", "git ls-remote"}},
		{"file://" + root + "/empty", hash, 4, []string{"no git repository in this directory"}},
		{s.URL + "/x/.git", none, 2, []string{"does not have this commit", "git ls-remote " + s.URL}},
		{s.URL + "/new.git", none, 2, []string{"the repository is empty"}},
		{"file://" + root + "/x", none, 2, []string{"does not have this commit"}},
		{s.URL + "/x/.git", tag, 2, []string{`the tag "v1" and no commit`, hash, "^{}"}},
	} {
		_, _, err := fetched(t, Commit{URLs: []string{c.url}, Hash: c.hash}, quick(t))
		var e *Error
		if !errors.As(err, &e) || e.ExitCode() != c.exit {
			t.Errorf("%s gives %v", c.url, err)
			continue
		}
		for _, want := range append(c.want, `source "x" (x.toml:7)`, c.url, c.hash) {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in:\n%s", c.url, want, err)
			}
		}
	}
}

// TestMirrors holds that addresses are tried in order, and again if that may help.
func TestMirrors(t *testing.T) {
	root := t.TempDir()
	hash, _ := sample(t, filepath.Join(root, "x"))
	s := serve(t, root)
	var notices []string
	opt := quick(t)
	opt.Progress = func(e Event) {
		if e.Notice != "" {
			notices = append(notices, e.URL)
		}
	}
	urls := []string{"http://127.0.0.1:1/x.git", s.URL + "/none.git", s.URL + "/x/.git", "http://127.0.0.1:1/never.git"}
	if got, _, err := fetched(t, Commit{URLs: urls, Hash: hash}, opt); err != nil || got != sampleListing() {
		t.Errorf("%v\n%s", err, got)
	}
	if !slices.Equal(notices, urls[:2]) {
		t.Errorf("notices about %v", notices)
	}
	faults := 1
	s.before = func(w http.ResponseWriter, r *http.Request) bool {
		if faults--; faults >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return faults >= 0
	}
	if _, _, err := fetched(t, Commit{URLs: urls[2:3], Hash: hash}, quick(t)); err != nil {
		t.Errorf("a server that is busy once: %v", err)
	}
}

// TestCancelAndStall ends a fetch that does not get on, and leaves nothing.
func TestCancelAndStall(t *testing.T) {
	root := t.TempDir()
	hash, _ := sample(t, filepath.Join(root, "x"))
	s := serve(t, root)
	s.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			_, _ = io.Copy(io.Discard, r.Body) // the end of a connection is noticed after that
			<-r.Context().Done()
		}
		return r.Method == http.MethodPost
	}
	opt := quick(t)
	opt.Stall, opt.Rounds = 50*time.Millisecond, 1
	_, _, err := fetched(t, Commit{URLs: []string{s.URL + "/x/.git"}, Hash: hash}, opt)
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "stalled") {
		t.Errorf("a server that stands still gives %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	opt = quick(t)
	_, err = Write(ctx, io.Discard, Commit{URLs: []string{s.URL + "/x/.git"}, Hash: hash}, opt)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled fetch gives %v", err)
	}
	if left, _ := os.ReadDir(opt.Dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestDamaged changes an object of a repository: its name says that.
func TestDamaged(t *testing.T) {
	root := t.TempDir()
	hash, _ := sample(t, filepath.Join(root, "x"))
	blob := gitCommand(t, filepath.Join(root, "x"), "rev-parse", hash+":a file")
	other := gitCommand(t, filepath.Join(root, "x"), "rev-parse", hash+":sub/deep/er")
	objects := filepath.Join(root, "x", ".git", "objects")
	path := func(h string) string { return filepath.Join(objects, h[:2], h[2:]) }
	data, err := os.ReadFile(path(other))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path(blob)); err != nil {
		t.Fatal(err)
	}
	c := Commit{URLs: []string{"file://" + root + "/x"}, Hash: hash}
	if _, _, err := fetched(t, c, quick(t)); err == nil || !strings.Contains(err.Error(), "a file") {
		t.Errorf("a missing object gives %v", err)
	}
	if err := os.WriteFile(path(blob), data, 0o644); err != nil {
		t.Fatal(err)
	}
	_, _, err = fetched(t, c, quick(t))
	var e *Error
	if !errors.As(err, &e) || e.ExitCode() != 4 || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), blob) {
		t.Errorf("an object with another's content gives %v", err)
	}
}
