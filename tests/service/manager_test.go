package service

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestServiceManager: systemd hears when the service is ready, that it lives, and
// that it ends.
func TestServiceManager(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") // the address of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	hear := func(limit time.Duration, want string) {
		t.Helper()
		buf := make([]byte, 4096)
		var all []string
		_ = socket.SetReadDeadline(time.Now().Add(limit))
		for {
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("the service manager did not hear %s within %s, but %q", want, limit, all)
			}
			all = append(all, string(buf[:n]))
			if strings.Contains(string(buf[:n]), want) {
				return
			}
		}
	}
	d := newDaemon(t, daemonOptions{Env: []string{"NOTIFY_SOCKET=" + at.Name, "WATCHDOG_USEC=2000000"}})
	d.launch()
	hear(30*time.Second, "READY=1")
	if a := d.call(nobody, http.MethodGet, "/healthz", nil); a.status != http.StatusOK {
		t.Errorf("it said that it was ready, and is not: %s", a)
	}
	for range 3 {
		hear(5*time.Second, "WATCHDOG=1")
	}
	d.stop()
	hear(5*time.Second, "STOPPING=1")
}

// repository is a git repository with recipes.
type repository struct {
	t   *testing.T
	dir string
}

func (r *repository) git(args ...string) string {
	r.t.Helper()
	out, err := rig.Sh("git", append([]string{"-C", r.dir, "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"}, args...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// commit writes recipes and commits them.
func (r *repository) commit(texts ...string) (commit string) {
	r.t.Helper()
	written(r.t, r.dir, texts...)
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "recipes")
	return r.git("rev-parse", "HEAD")
}

// TestWebhook: a push to the repository of the recipes builds what it changed.
func TestWebhook(t *testing.T) {
	rig.Need(t, "git", "git")
	const secret = "a secret that is long enough"
	r := &repository{t: t, dir: t.TempDir()}
	r.git("init", "-q")
	r.commit(plain("one", "first"), plain("two", "first"))
	hooks := filepath.Join(t.TempDir(), "hooks.toml")
	if err := os.WriteFile(hooks, []byte("[[webhook]]\nname = \"recipes\"\nkind = \"generic\"\nsecret = \""+secret+"\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "file://" + r.dir
	d := startDaemon(t, daemonOptions{Flags: []string{"--recipes", url, "--webhook-file", hooks}})
	d.succeed(d.submit(maker, service.Submission{Recipes: []string{"one"}})[0].ID, time.Minute)
	commit := r.commit(plain("one", "second"), plain("two", "first"))
	body, err := json.Marshal(map[string]any{"urls": []string{url}, "ref": "refs/heads/main", "commit": commit, "paths": []string{"one.toml"}})
	if err != nil {
		t.Fatal(err)
	}
	deliver := func(secret, number string) answer {
		t.Helper()
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		req := d.request(t.Context(), nobody, http.MethodPost, "/webhooks/recipes", body)
		req.Header.Set("X-Signature-256", fmt.Sprintf("sha256=%x", mac.Sum(nil)))
		req.Header.Set("X-Delivery", number)
		return d.send(req)
	}
	if a := deliver("another secret, long enough", "1"); a.status != http.StatusUnauthorized {
		t.Errorf("a delivery with another secret: %s", a)
	}
	a := deliver(secret, "2")
	builds, err := readBuilds(a.body)
	if err != nil || a.status/100 != 2 || len(builds) != 1 || builds[0].Recipe != "one" {
		t.Fatalf("a push that changed one recipe of two: %v: %s", err, a)
	}
	b := d.succeed(builds[0].ID, time.Minute)
	if b.Cause != service.ByWebhook || b.Origin.Commit != commit {
		t.Errorf("the build is %+v, of commit %s", b, commit)
	}
	if a := deliver(secret, "2"); len(d.builds()) != 2 {
		t.Errorf("a delivery that came before built something: %s", a)
	}
}

// TestSchedule: a schedule is kept, shown with its next run, and survives a restart.
func TestSchedule(t *testing.T) {
	d := startDaemon(t, daemonOptions{})
	s := service.Schedule{Name: "nightly", Cron: "17 3 * * *", Recipes: []string{"static"}, When: service.Always}
	if a := d.call(maker, http.MethodPut, api+"/schedules/nightly", s); a.status != http.StatusForbidden {
		t.Errorf("somebody who may build has made a schedule: %s", a)
	}
	if a := d.call(admin, http.MethodPut, api+"/schedules/nightly", s); a.status/100 != 2 {
		t.Fatalf("making a schedule: %s", a)
	}
	s.Cron = "61 * * * *"
	if a := d.call(admin, http.MethodPut, api+"/schedules/nightly", s); a.status/100 != 4 {
		t.Errorf("a minute that is none: %s", a)
	}
	d.kill()
	d.start()
	var list struct{ Schedules []service.Schedule }
	d.get(api+"/schedules", &list)
	if len(list.Schedules) != 1 || list.Schedules[0].Cron != "17 3 * * *" || list.Schedules[0].Next == nil || list.Schedules[0].Next.Minute() != 17 {
		t.Errorf("after a restart the schedules are %+v", list.Schedules)
	}
	if a := d.call(admin, http.MethodDelete, api+"/schedules/nightly", nil); a.status/100 != 2 {
		t.Errorf("deleting: %s", a)
	}
	d.get(api+"/schedules", &list)
	if len(list.Schedules) != 0 {
		t.Errorf("a schedule that was deleted is there: %+v", list.Schedules)
	}
}
