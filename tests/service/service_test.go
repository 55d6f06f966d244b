// Package service drives `riscv-build serve` from outside, as those do who use
// it: over HTTP, in a browser, by signals and power cuts. Nothing of the service
// is called but the types that its answers are read into. The acceptance lines
// are tests of their own (line_*_test.go), full or reduced as in package tests.
package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// count is the number of a line: that of the acceptance, or the reduced one.
func count(full, reduced int) int {
	if rig.Full {
		return full
	}
	return reduced
}

func figure(t *testing.T, line, got, limit string, ok bool) {
	t.Helper()
	rig.Figure{Line: "service " + line, Got: got, Limit: limit, OK: ok}.Report(t)
}

// timing is a figure that is judged in full runs only.
func timing(t *testing.T, line string, got, limit time.Duration) {
	t.Helper()
	rig.Figure{Line: "service " + line, Got: got.Round(100 * time.Microsecond).String(), Limit: limit.String(), OK: got <= limit, Timing: true}.Report(t)
}

// seeded is a source of random numbers whose seed is printed; RISCV_BUILD_SEED
// repeats a run.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("RISCV_BUILD_SEED"), 10, 64); err == nil {
		seed = s
	}
	t.Logf("RISCV_BUILD_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 7))
}

// daemonOptions say what is different about a service.
type daemonOptions struct {
	State string   // its state directory; empty: a new one
	Push  string   // where images go; empty: a registry of its own
	Env   []string // added to the environment
	Flags []string // more for `serve`
}

// daemon is a `riscv-build serve` of a test's own, which ends with it.
type daemon struct {
	t         *testing.T
	opt       daemonOptions
	state     string
	tokenFile string
	addr      string // HOST:PORT of the API
	registry  string // HOST:PORT of its own registry; empty: it has none
	tokens    map[string]string
	log       string // file with what it says
	client    *http.Client

	cmd   *exec.Cmd
	ended chan struct{} // closed when the process has
}

// The names of the tokens that every daemon has, which are also their roles.
const (
	reader = string(access.Read)
	maker  = string(access.Build)
	admin  = string(access.Admin)
	nobody = ""
)

// newDaemon chooses ports and directories and makes tokens; start starts it.
func newDaemon(t *testing.T, opt daemonOptions) *daemon {
	t.Helper()
	own, err := os.MkdirTemp(rig.Work, "service-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(own) })
	d := &daemon{
		t: t, opt: opt, state: opt.State, tokenFile: filepath.Join(own, "tokens"), log: filepath.Join(own, "log"),
		addr:   fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t)),
		tokens: map[string]string{},
		client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 32}, Timeout: time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if d.state == "" {
		d.state = filepath.Join(own, "state")
	}
	if opt.Push == "" {
		d.registry = fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t))
	}
	for _, role := range access.Roles {
		d.addToken(string(role), role)
	}
	t.Cleanup(d.end)
	return d
}

// startDaemon is newDaemon and start.
func startDaemon(t *testing.T, opt daemonOptions) *daemon {
	t.Helper()
	d := newDaemon(t, opt)
	d.start()
	return d
}

// addToken makes a token with a role; it is known by its name from then on.
func (d *daemon) addToken(name string, role access.Role) {
	d.t.Helper()
	r := rig.Run(context.Background(), d.opt.Env, "serve", "token", "add", name, "--role", string(role), "--token-file", d.tokenFile)
	token := strings.TrimSpace(r.Stdout)
	if r.Code != 0 || token == "" || strings.ContainsAny(token, " \n") {
		d.t.Fatalf("serve token add: exit code %d, printed %q, want a token and nothing else\n%s", r.Code, r.Stdout, r.Stderr)
	}
	d.tokens[name] = token
}

// arguments are those of its command line.
func (d *daemon) arguments() []string {
	args := []string{"serve", "--state-dir", d.state, "--addr", d.addr, "--token-file", d.tokenFile}
	if d.registry != "" {
		args = append(args, "--registry", "--registry-addr", d.registry)
	} else {
		args = append(args, "--push", d.opt.Push)
	}
	return append(args, d.opt.Flags...)
}

// launch starts the process and does not wait for it.
func (d *daemon) launch() {
	d.t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	d.cmd = exec.Command(rig.Binary, d.arguments()...)
	d.cmd.Env = append(os.Environ(), d.opt.Env...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		d.t.Fatalf("starting the service: %v", err)
	}
	cmd, ended := d.cmd, make(chan struct{})
	d.ended = ended
	go func() { _ = cmd.Wait(); close(ended) }()
}

// start starts it, again too, and says how long it took until it was ready.
func (d *daemon) start() time.Duration {
	d.t.Helper()
	begin := time.Now()
	d.launch()
	for {
		resp, err := d.client.Get("http://" + d.addr + "/healthz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return time.Since(begin)
			}
		}
		select {
		case <-d.ended:
			d.t.Fatalf("the service has ended at its start: %s\n%s", d.cmd.ProcessState, d.said(20))
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(begin) > time.Minute {
			d.t.Fatalf("the service is not ready after a minute: %v\n%s", err, d.said(20))
		}
	}
}

// kill cuts its power.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
	d.client.CloseIdleConnections()
}

// stop ends it as a service manager does, and says how long that took.
func (d *daemon) stop() time.Duration {
	d.t.Helper()
	begin := time.Now()
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(30 * time.Second):
		d.t.Errorf("the service goes on 30 s after SIGTERM:\n%s", d.said(20))
		d.kill()
	}
	d.client.CloseIdleConnections()
	return time.Since(begin)
}

// end stops a service whose test is over, and shows what it said if the test failed.
func (d *daemon) end() {
	if d.cmd == nil {
		return
	}
	select {
	case <-d.ended:
		if !d.cmd.ProcessState.Exited() || d.cmd.ProcessState.ExitCode() > 1 {
			d.t.Logf("the service ended: %s", d.cmd.ProcessState)
		}
	default:
		d.stop()
	}
	if d.t.Failed() {
		d.t.Logf("the service said:\n%s", d.said(40))
	}
}

// said is the end of what it said.
func (d *daemon) said(lines int) string {
	text, _ := os.ReadFile(d.log)
	return rig.Tail(string(text), lines)
}

// alive holds that it still runs and answers.
func (d *daemon) alive() {
	d.t.Helper()
	select {
	case <-d.ended:
		d.t.Fatalf("the service has ended: %s\n%s", d.cmd.ProcessState, d.said(40))
	default:
	}
	if a := d.call(nobody, http.MethodGet, "/healthz", nil); a.status != http.StatusOK {
		d.t.Errorf("the service is not well: %s", a)
	}
}

// answer is what a request got; status 0: none, and body says why.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) String() string {
	return fmt.Sprintf("%d %s", a.status, rig.Tail(string(a.body[:min(len(a.body), 2000)]), 20))
}

// request makes a request with the token of a name. A body that is no []byte is
// sent as JSON.
func (d *daemon) request(ctx context.Context, token, method, path string, body any) *http.Request {
	d.t.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		content = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			d.t.Fatal(err)
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+d.addr+path, content)
	if err != nil {
		d.t.Fatal(err)
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != nobody {
		req.Header.Set("Authorization", "Bearer "+d.tokens[token])
	}
	return req
}

// call asks and gives whatever came.
func (d *daemon) call(token, method, path string, body any) answer {
	d.t.Helper()
	return d.send(d.request(context.Background(), token, method, path, body))
}

func (d *daemon) send(req *http.Request) answer {
	resp, err := d.client.Do(req)
	if err != nil {
		return answer{body: []byte(err.Error())}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	// Of a stream that goes on it is the beginning that there is.
	if err != nil && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/") {
		return answer{body: []byte(err.Error())}
	}
	return answer{resp.StatusCode, resp.Header, text}
}

// get reads a document that has to be there.
func (d *daemon) get(path string, into any) {
	d.t.Helper()
	a := d.call(reader, http.MethodGet, path, nil)
	if a.status != http.StatusOK {
		d.t.Fatalf("GET %s: %s", path, a)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		d.t.Fatalf("GET %s: %v: %s", path, err, a)
	}
}

const api = "/api/v1"

// submit asks for builds, which has to be accepted.
func (d *daemon) submit(token string, s service.Submission) []service.Build {
	d.t.Helper()
	a := d.call(token, http.MethodPost, api+"/builds", s)
	if a.status < 200 || a.status > 299 {
		d.t.Fatalf("submitting: %s", a)
	}
	builds, err := readBuilds(a.body)
	if err != nil || len(builds) == 0 {
		d.t.Fatalf("submitting: %v: %s", err, a)
	}
	return builds
}

// readBuilds reads a list of builds, or one.
func readBuilds(text []byte) ([]service.Build, error) {
	var list struct {
		Builds []service.Build `json:"builds"`
	}
	if err := json.Unmarshal(text, &list); err == nil && list.Builds != nil {
		return list.Builds, nil
	}
	var plain []service.Build
	if err := json.Unmarshal(text, &plain); err == nil {
		return plain, nil
	}
	var one service.Build
	if err := json.Unmarshal(text, &one); err != nil {
		return nil, err
	}
	if one.ID == 0 {
		return nil, errors.New("there are no builds in it")
	}
	return []service.Build{one}, nil
}

// build is a build as it is now.
func (d *daemon) build(id int64) service.Build {
	d.t.Helper()
	var b service.Build
	d.get(fmt.Sprintf("%s/builds/%d", api, id), &b)
	return b
}

// builds are all of them, newest first.
func (d *daemon) builds() []service.Build {
	d.t.Helper()
	var all []service.Build
	for before := int64(0); ; {
		path := api + "/builds?limit=500"
		if before > 0 {
			path += fmt.Sprintf("&before=%d", before)
		}
		a := d.call(reader, http.MethodGet, path, nil)
		page, err := readBuilds(a.body)
		if a.status != http.StatusOK || err != nil && len(all) == 0 && !bytes.Contains(a.body, []byte("[]")) {
			d.t.Fatalf("GET %s: %v: %s", path, err, a)
		}
		if len(page) == 0 {
			return all
		}
		all, before = append(all, page...), page[len(page)-1].ID
	}
}

// wait waits for the end of a build.
func (d *daemon) wait(id int64, limit time.Duration) service.Build {
	d.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(100 * time.Millisecond) {
		b := d.build(id)
		if b.Status.Final() {
			return b
		}
		if time.Now().After(end) {
			d.t.Fatalf("build %d of %s is %s (stage %q) after %s\n%s", id, b.Recipe, b.Status, b.Stage, limit, d.said(20))
		}
	}
}

// succeed waits for a build that has to go well.
func (d *daemon) succeed(id int64, limit time.Duration) service.Build {
	d.t.Helper()
	b := d.wait(id, limit)
	if b.Status != service.Succeeded {
		d.t.Fatalf("build %d of %s is %s in stage %q: %s", id, b.Recipe, b.Status, b.Stage, b.Error)
	}
	return b
}

// drained waits until nothing is queued or runs, and gives all builds.
func (d *daemon) drained(limit time.Duration) []service.Build {
	d.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(200 * time.Millisecond) {
		var s service.State
		d.get(api+"/state", &s)
		if s.Builds[service.Queued]+s.Builds[service.Running] == 0 {
			return d.builds()
		}
		if time.Now().After(end) {
			d.t.Fatalf("after %s there are still %v\n%s", limit, s.Builds, d.said(20))
		}
	}
}

// artefact reads a file of a build.
func (d *daemon) artefact(id int64, name string) string {
	d.t.Helper()
	path := fmt.Sprintf("%s/builds/%d/artefacts/%s", api, id, name)
	a := d.call(reader, http.MethodGet, path, nil)
	if a.status != http.StatusOK {
		d.t.Fatalf("GET %s: %s", path, a)
	}
	return string(a.body)
}

// memory gives a line of the process's status in MB: VmHWM, VmRSS.
func (d *daemon) memory(name string) int {
	d.t.Helper()
	return d.status(strconv.Itoa(d.cmd.Process.Pid), name) / 1024
}

// status is a number of /proc/PATH/status.
func (d *daemon) status(path, name string) int {
	text, err := os.ReadFile(filepath.Join("/proc", path, "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}
