package git

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// gitCommand runs git, which makes and serves the repositories of these tests.
func gitCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("git")
	if err != nil {
		t.Fatal("git is missing: apt-get install git (tests/provision.sh test does it)")
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1700000000 +0100",
		"GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.org", "GIT_COMMITTER_DATE=1700000001 +0100")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, commits all there is and gives the commit.
func commit(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	if _, err := os.Stat(filepath.Join(dir, ".git")); err != nil {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		gitCommand(t, dir, "init", "-q", "-b", "main")
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	gitCommand(t, dir, "add", "-A")
	gitCommand(t, dir, "commit", "-q", "--allow-empty", "-m", "change")
	return gitCommand(t, dir, "rev-parse", "HEAD")
}

// server is git's own, behind HTTP.
type server struct {
	*httptest.Server
	root string

	mu       sync.Mutex
	requests []string
	received int64 // bytes of answers
	before   func(http.ResponseWriter, *http.Request) bool
}

// serve serves the repositories below a directory; config is that of git.
func serve(t *testing.T, root string, config ...string) *server {
	t.Helper()
	s := &server{root: root}
	s.Server = httptest.NewServer(s.handler(t, config))
	t.Cleanup(s.Close)
	return s
}

func (s *server) handler(t *testing.T, config []string) http.Handler {
	backend := filepath.Join(gitCommand(t, s.root, "--exec-path"), "git-http-backend")
	env := []string{"GIT_PROJECT_ROOT=" + s.root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + s.root,
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(config)+1), "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"}
	for i, kv := range config {
		key, value, _ := strings.Cut(kv, "=")
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i+1, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i+1, value))
	}
	git := &cgi.Handler{Path: backend, Root: "/", Env: env, Stderr: io.Discard}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		before := s.before
		s.mu.Unlock()
		if before != nil && before(w, r) {
			return
		}
		git.ServeHTTP(&counting{w, s}, r)
	})
}

type counting struct {
	http.ResponseWriter
	s *server
}

func (c *counting) Write(p []byte) (int, error) {
	c.s.mu.Lock()
	c.s.received += int64(len(p))
	c.s.mu.Unlock()
	return c.ResponseWriter.Write(p)
}

// count gives how many requests held a text, and forgets them.
func (s *server) count(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.Contains(r, text) {
			n++
		}
	}
	s.requests = nil
	return n
}
