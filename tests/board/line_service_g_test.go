package board

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// servicePort is where the service of a board listens.
const servicePort = 8080

// TestLineServiceG: a board serves builds and a registry, the host has it build,
// and the board's containerd pulls what was built.
func TestLineServiceG(t *testing.T) {
	names := []string{"static"}
	if rig.Full {
		names = []string{"pause", "eclipse-mosquitto"} // one that is compiled there, one of packages
	}
	b := boardrig.Start(t, boardrig.Options{Memory: "2G", Forward: servicePort})
	s := serveOnBoard(t, b)
	begin := time.Now()
	var asked struct{ Builds []service.Build }
	s.ask(http.MethodPost, "/api/v1/builds", map[string]any{"recipes": names}, &asked)
	if len(asked.Builds) != len(names) {
		t.Fatalf("builds of %v were asked for, and there are %d", names, len(asked.Builds))
	}
	var worker, ref string
	for _, build := range asked.Builds {
		build = s.ended(b, build)
		worker, ref = cmp.Or(worker, build.Result.Worker), s.pulled(b, build)
	}
	took := time.Since(begin).Round(time.Second)
	if rig.Full {
		b.Must("ctr -n service run --rm " + ref + " broker mosquitto -h | grep -q 'mosquitto version'")
	}
	var images struct{ Images []service.Image }
	s.ask(http.MethodGet, "/api/v1/registry/images", nil, &images)
	if len(images.Images) < len(names) {
		t.Errorf("the registry view has %+v", images.Images)
	}
	peak := strings.TrimSpace(b.Must("sed -n 's/^VmHWM:[[:space:]]*//p' /proc/$(cat /run/service.pid)/status").Stdout)
	rig.Figure{Line: "service G, on a board", Got: fmt.Sprintf("%s built in %s by %s, pulled by ctr; %s at most", strings.Join(names, ", "), took, worker, peak), Limit: "built and pulled", OK: !t.Failed()}.Report(t)
}

// ended waits for a build, which has to succeed.
func (s *boardService) ended(b *boardrig.Board, build service.Build) service.Build {
	s.t.Helper()
	for end := time.Now().Add(time.Hour); !build.Status.Final(); time.Sleep(2 * time.Second) {
		if time.Now().After(end) {
			s.t.Fatalf("build %d is %s, in stage %q, after an hour", build.ID, build.Status, build.Stage)
		}
		s.ask(http.MethodGet, fmt.Sprintf("/api/v1/builds/%d", build.ID), nil, &build)
	}
	if build.Status != service.Succeeded || build.Result == nil || len(build.Result.Tags) == 0 {
		s.t.Fatalf("build %d is %s in stage %q: %s\n%s", build.ID, build.Status, build.Stage, build.Error, b.Exec("tail -n 30 /var/log/service.log").Stdout)
	}
	return build
}

// pulled has the board's containerd pull what a build pushed, by the reference
// that it gives, and holds that it is what was built.
func (s *boardService) pulled(b *boardrig.Board, build service.Build) string {
	s.t.Helper()
	ref := strings.TrimPrefix(build.Result.Tags[0], "http://")
	b.Must("ctr -n service images pull --plain-http " + ref)
	if there := b.Must("ctr -n service images ls").Stdout; !strings.Contains(there, build.Result.Digest.String()) {
		s.t.Errorf("ctr has pulled something else than %s:\n%s", build.Result.Digest, there)
	}
	return ref
}

// boardService is the service of a board, as the host sees it.
type boardService struct {
	t           *testing.T
	addr, token string
}

func serveOnBoard(t *testing.T, b *boardrig.Board) *boardService {
	t.Helper()
	s := &boardService{t: t, addr: b.Forwarded()}
	s.token = strings.TrimSpace(b.Must("riscv-build serve token add host --role build --token-file /root/tokens").Stdout)
	b.Must(fmt.Sprintf("setsid riscv-build serve --addr :%d --insecure-http --token-file /root/tokens --registry --registry-addr 127.0.0.1:6000 </dev/null >/var/log/service.log 2>&1 & echo $! >/run/service.pid", servicePort))
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		resp, err := http.Get("http://" + s.addr + "/healthz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		if time.Now().After(end) {
			t.Fatalf("the service of the board does not answer: %v\n%s", err, b.Exec("tail -n 30 /var/log/service.log").Stdout)
		}
	}
}

// ask asks with the token of the host; the answer has to be good.
func (s *boardService) ask(method, path string, body, into any) {
	s.t.Helper()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			s.t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, "http://"+s.addr+path, content)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s %s, %v", method, path, resp.Status, text, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		s.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
}
