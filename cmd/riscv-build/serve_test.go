package main

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

func TestServeRefuses(t *testing.T) {
	tokens := filepath.Join(t.TempDir(), "tokens")
	if _, err := access.Add(tokens, "anna", access.Build); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"serve":                        "without --token-file",
		"serve --token-file " + tokens: "--insecure-http",
		"serve --open":                 "plain HTTP",
		"serve --addr 192.168.1.5:80 --token-file " + tokens:    "--tls-self-signed",
		"serve --addr [::]:80 --token-file " + tokens:           "plain HTTP",
		"serve --addr 127.0.0.1:0 --token-file " + tokens + "x": "serve token add NAME --role build --token-file " + tokens + "x",
		"serve --addr nowhere":                                  "[ADDRESS]:PORT",
		"serve --addr 127.0.0.1:0 --tls-cert x":                 "belong together",
		"serve --addr 127.0.0.1:0 --registry":                   "in plain HTTP",
		"serve --addr 127.0.0.1:0 --registry-htpasswd x":        "--registry, too",
		"serve --addr 127.0.0.1:0 --recipes-ref main":           "--recipes",
		"serve --addr 127.0.0.1:0 --keep-builds -1":             "at least 0",
		"serve --addr 127.0.0.1:0 --disk-floor much":            "reading size",
		"serve --addr 127.0.0.1:0 --webhook-file /nonexistent":  "reading webhooks",
		"serve --addr 127.0.0.1:0 --log-format xml":             "text, json",
		"serve --addr 127.0.0.1:0 --push http://":               "no host",
		"serve x":           "takes none",
		"serve token":       "add, ls, rm",
		"serve token add x": "--token-file",
		"serve token add x --token-file " + tokens:                "read, build, admin",
		"serve token add anna --role read --token-file " + tokens: "anna",
		"serve token rm nobody --token-file " + tokens:            "nobody",
		"serve token ls --token-file " + tokens + "x":             tokens + "x",
		"nginx --server http://127.0.0.1:1 --load":                "--load",
		"nginx --server-token x":                                  "--server URL",
		"nginx --detach":                                          "no service",
		"logs":                                                    "name a build",
		"logs x":                                                  "no number",
		"cancel 1 x --server http://127.0.0.1:1":                  "no number",
		"builds":                                                  "ls, show",
		"builds ls --status done":                                 "queued",
		"ls --server-token /nonexistent --server http://127.0.0.1:1": "holds the token",
	} {
		t.Run(args, func(t *testing.T) {
			code, stdout, stderr := do(t, strings.Fields(args)...)
			if code != exitUsage || !strings.Contains(stderr, want) || stdout != "" {
				t.Errorf("exit %d\nstdout %q\nstderr %q\nwant exit 2 and %q", code, stdout, stderr, want)
			}
		})
	}
}

func TestNoServiceHere(t *testing.T) {
	if code, _, stderr := do(t, "ls"); code != exitEnvironment || !strings.Contains(stderr, "riscv-build serve") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	code, token, stderr := do(t, "serve", "token", "add", "anna", "--role", "build", "--token-file", file)
	if code != 0 || len(strings.TrimSpace(token)) < 20 {
		t.Fatalf("exit %d, %q, %q", code, token, stderr)
	}
	kept, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(kept), strings.TrimSpace(token)) {
		t.Errorf("the token itself is in the file: %v", err)
	}
	if _, list, _ := do(t, "serve", "token", "ls", "--token-file", file); !strings.Contains(list, "anna") || !strings.Contains(list, "build") {
		t.Errorf("got %q", list)
	}
	if code, _, stderr := do(t, "serve", "token", "rm", "anna", "--token-file", file); code != 0 {
		t.Error(stderr)
	}
	if _, list, _ := do(t, "serve", "token", "ls", "--token-file", file); strings.Contains(list, "anna") {
		t.Errorf("got %q", list)
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.8.0.1:1": true, "[::1]:1": true, "localhost:1": true, ":1": false, "0.0.0.0:1": false, "[::]:1": false, "192.168.1.5:1": false, "board:1": false,
	} {
		if got := loopback(address); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestSecretsAreHidden(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("MY_SECRET", "sesame-open")
	t.Setenv("SHORT_TOKEN", "abc")
	auth := base64.StdEncoding.EncodeToString([]byte("anna:pass:word"))
	config := `{"auths": {"h:1": {"auth": "` + auth + `"}, "h:2": {"identitytoken": "identity-1"}}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &secrets{more: []string{"webhook-secret"}}
	if got := s.hide("sesame-open"); got != "sesame-open" {
		t.Errorf("got %q before anything was read", got)
	}
	s.read(slog.New(slog.DiscardHandler))
	in := "anna abc sesame-open pass:word identity-1 webhook-secret " + auth
	if got := s.hide(in); got != "anna abc *** *** *** *** ***" {
		t.Errorf("got %q", got)
	}
}

func TestTheSocketIsTheOwnersAndReplaced(t *testing.T) {
	dir, err := os.MkdirTemp("", "s") // a short path
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for range 2 { // the second finds what a killed one left
		l, err := listenLocal(dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, serviceSocket))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatal(info, err)
		}
		if f, ok := l.(interface{ SetUnlinkOnClose(bool) }); ok {
			f.SetUnlinkOnClose(false)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// shownTo notes notices.
type shownTo struct{ said []string }

func (s *shownTo) Notice(format string, _ ...any)  { s.said = append(s.said, format) }
func (s *shownTo) Verbose(string, ...any)          {}
func (s *shownTo) Progress(string) engine.Progress { return nil }

func TestEachBuildHasItsDisplay(t *testing.T) {
	var log strings.Builder
	r := &relay{log: slog.New(slog.NewTextHandler(&log, nil))}
	a, b := &shownTo{}, &shownTo{}
	done := r.use(a)
	r.Notice("one")
	done()
	r.Notice("between")
	done = r.use(b)
	r.Notice("two")
	done()
	if strings.Join(a.said, " ") != "one" || strings.Join(b.said, " ") != "two" || !strings.Contains(log.String(), "between") {
		t.Errorf("got %q, %q, %q", a.said, b.said, log.String())
	}
	if r.Progress("x") != nil {
		t.Error("progress of nothing")
	}
}

func TestTheServerEndsWithItsStreams(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := listenLocal(dir)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- serveHTTP(ctx, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
		})}, l)
	}()
	from, err := net.Dial("unix", filepath.Join(dir, serviceSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	if _, err := io.WriteString(from, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTheEndIsNotWaitedForForEver(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	if err := within(ctx, time.Hour, func() error { return io.EOF }); !errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
	stop()
	if err := within(ctx, time.Millisecond, func() error { select {} }); err == nil || !strings.Contains(err.Error(), "was left") {
		t.Errorf("got %v", err)
	}
	if err := within(ctx, time.Hour, func() error { return nil }); err != nil {
		t.Error(err)
	}
}
