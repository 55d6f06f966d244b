package git

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolveRefs(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "r")
	first := commit(t, dir, map[string]string{"a": "1"})
	gitCommand(t, dir, "tag", "light")
	gitCommand(t, dir, "tag", "-a", "-m", "one", "v1")
	gitCommand(t, dir, "branch", "old")
	tip := commit(t, dir, map[string]string{"a": "2"})
	s := serve(t, root)
	for _, address := range []string{s.URL + "/r/.git", "file://" + dir} {
		for name, want := range map[string]Ref{
			"":                {"refs/heads/main", tip},
			"main":            {"refs/heads/main", tip},
			"old":             {"refs/heads/old", first},
			"light":           {"refs/tags/light", first},
			"v1":              {"refs/tags/v1", first},
			"refs/tags/v1":    {"refs/tags/v1", first},
			"refs/heads/main": {"refs/heads/main", tip},
			first:             {"", first},
		} {
			if got, err := Resolve(context.Background(), address, name, quick(t)); err != nil || got != want {
				t.Errorf("%s %q: %v, %v", address, name, got, err)
			}
		}
		var e *Error
		if _, err := Resolve(context.Background(), address, "nowhere", quick(t)); !errors.As(err, &e) || e.Kind() != NoCommit || e.ExitCode() != 2 ||
			!strings.Contains(err.Error(), "looking for branch or tag nowhere") || !strings.Contains(err.Error(), "git ls-remote") {
			t.Errorf("%s: %v", address, err)
		}
		if _, err := Resolve(context.Background(), address+"x", "main", quick(t)); !errors.As(err, &e) || e.Kind() != NotRepository {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := Resolve(context.Background(), "http://127.0.0.1:1/r", "", quick(t)); err == nil || !strings.Contains(err.Error(), "the default branch of") {
		t.Errorf("nobody answers: %v", err)
	}
}
