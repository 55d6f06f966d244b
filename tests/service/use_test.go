package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine/statelock"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// written puts recipes into a directory, each with what it is called by, and
// their lock.
func written(t *testing.T, dir string, texts ...string) (files []string) {
	t.Helper()
	var all []*recipes.Recipe
	for _, text := range texts {
		r, err := recipes.Parse("recipe.toml", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
		files = append(files, filepath.Join(dir, r.Name+".toml"))
		if err := os.WriteFile(files[len(files)-1], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, lock.Name), lockOf(t, all), 0o644); err != nil {
		t.Fatal(err)
	}
	return files
}

// TestCommands: the commands that use a service from elsewhere.
func TestCommands(t *testing.T) {
	d := startDaemon(t, daemonOptions{})
	dir := t.TempDir()
	files := written(t, dir, plain("sent", "from elsewhere"), tool("broken", [3]string{"fails", "echo this is what it prints", "nothing\n"}))
	tokenFile := filepath.Join(dir, "token")
	if err := os.WriteFile(tokenFile, []byte(d.tokens[maker]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(want int, args ...string) rig.Result {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		r := rig.Run(ctx, nil, append(args, "--server", "http://"+d.addr, "--server-token", tokenFile)...)
		if r.Code != want {
			t.Fatalf("riscv-build %s: exit code %d, want %d\n%s\n%s", strings.Join(args, " "), r.Code, want, r.Stdout, rig.Tail(r.Stderr, 20))
		}
		return r
	}
	run(0, "build", files[0])
	sent := d.builds()[0]
	if sent.Recipe != "sent" || sent.Client != maker || sent.Origin.Kind != service.FromUpload || sent.Status != service.Succeeded {
		t.Errorf("what was sent is %+v", sent)
	}
	if r := run(1, "build", files[1]); !strings.Contains(r.Stderr, "this is what it prints") {
		t.Errorf("a test that fails is not told of:\n%s", r.Stderr)
	}
	failed := d.builds()[0]
	if r := run(0, "ls"); !strings.Contains(r.Stdout, "sent") || !strings.Contains(r.Stdout, "broken") || !strings.Contains(r.Stdout, "failed") {
		t.Errorf("ls prints\n%s", r.Stdout)
	}
	if r := run(0, "show", fmt.Sprint(sent.ID)); !strings.Contains(r.Stdout, sent.Result.Digest.String()) {
		t.Errorf("show prints\n%s", r.Stdout)
	}
	if r := run(0, "logs", fmt.Sprint(failed.ID)); strings.TrimSpace(r.Stdout) == "" {
		t.Error("logs prints nothing")
	}
	held, err := statelock.Acquire(t.Context(), filepath.Join(d.state, "lock"), nil)
	if err != nil {
		t.Fatal(err)
	}
	number := strings.TrimSpace(run(0, "build", "--detach", files[0], "--no-cache").Stdout)
	run(0, "cancel", number)
	if err := held.Release(); err != nil {
		t.Fatal(err)
	}
	if b := d.wait(d.builds()[0].ID, 30*time.Second); fmt.Sprint(b.ID) != number || b.Status != service.Cancelled {
		t.Errorf("build %d, after cancel %s: %s", b.ID, number, b.Status)
	}
	wrong := filepath.Join(dir, "wrong.toml")
	if err := os.WriteFile(wrong, []byte("schema = 1\nname = \"wrong\"\nversion = 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := run(2, "build", wrong); !strings.Contains(r.Stderr, "wrong.toml:3") {
		t.Errorf("a wrong recipe is not told of by its line:\n%s", r.Stderr)
	}
	if err := os.WriteFile(tokenFile, []byte(d.tokens[reader]), 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(d.builds())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if r := rig.Run(ctx, nil, "build", files[0], "--server", "http://"+d.addr, "--server-token", tokenFile); r.Code == 0 || len(d.builds()) != before {
		t.Errorf("somebody who may read has built: exit code %d\n%s", r.Code, r.Stderr)
	}
}

// TestSameMachine: a command on the machine of a service builds through it, and
// waits for nothing.
func TestSameMachine(t *testing.T) {
	d := startDaemon(t, daemonOptions{})
	file := written(t, t.TempDir(), plain("near", "from this machine"))[0]
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if r := rig.Run(ctx, nil, "build", file, "--state-dir", d.state); r.Code != 0 {
		t.Fatalf("exit code %d\n%s", r.Code, r.Stderr)
	}
	if b := d.builds()[0]; b.Recipe != "near" || b.Client != "local" {
		t.Errorf("the newest build is of %s by %s", b.Recipe, b.Client)
	}
	// By itself, with a flag that is about this machine, when the service is idle.
	out := filepath.Join(t.TempDir(), "layout")
	if r := rig.Run(ctx, nil, "build", file, "--state-dir", d.state, "--output", out); r.Code != 0 {
		t.Fatalf("--output: exit code %d\n%s", r.Code, r.Stderr)
	}
	if _, err := os.Stat(filepath.Join(out, "index.json")); err != nil {
		t.Error(err)
	}
	if n := len(d.builds()); n != 1 {
		t.Errorf("the service has %d builds, want 1", n)
	}
	d.alive()
}

// TestStop: SIGTERM ends the service at once; what was running is built after
// the next start, and what is cancelled ends.
func TestStop(t *testing.T) {
	d := startDaemon(t, daemonOptions{})
	b := d.submit(maker, uploaded(t, tool("sleeper", [3]string{"sleeps", "sleep 100", ""})))[0]
	f := &follower{d: d, build: b.ID}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	done := make(chan struct{})
	go func() { f.run(ctx); close(done) }()
	running := func() {
		t.Helper()
		rig.WaitFor(t, 3*time.Minute, "the test of the build", func() bool { return d.build(b.ID).Stage == "check" })
		time.Sleep(time.Second)
	}
	running()
	took := d.stop()
	figure(t, "SIGTERM", "ended in "+took.Round(10*time.Millisecond).String(), "10s, exit status 0", took < 10*time.Second && d.cmd.ProcessState.ExitCode() == 0)
	d.start()
	if now := d.build(b.ID); now.Status.Final() {
		t.Fatalf("the build that ran is %s after the restart: %s", now.Status, now.Error)
	}
	running()
	if now := d.build(b.ID); now.Attempt != 2 {
		t.Errorf("the build is in attempt %d, want 2", now.Attempt)
	}
	if a := d.call(maker, "POST", fmt.Sprintf("%s/builds/%d/cancel", api, b.ID), nil); a.status/100 != 2 {
		t.Errorf("cancelling: %s", a)
	}
	if now := d.wait(b.ID, 15*time.Second); now.Status != service.Cancelled {
		t.Errorf("the build is %s after cancel: %s", now.Status, now.Error)
	}
	<-done
	if len(f.problems) > 0 || f.resumed == 0 {
		t.Errorf("who followed it came back %d times: %s", f.resumed, strings.Join(f.problems, "\n"))
	}
	var again service.Build
	a := d.call(maker, "POST", fmt.Sprintf("%s/builds/%d/retry", api, b.ID), nil)
	list, err := readBuilds(a.body)
	if err != nil || a.status/100 != 2 {
		t.Fatalf("retrying: %v: %s", err, a)
	}
	again = list[0]
	if again.RetryOf != b.ID || again.Cause != service.ByRetry {
		t.Errorf("the retry is %+v", again)
	}
	if a := d.call(maker, "POST", fmt.Sprintf("%s/builds/%d/cancel", api, again.ID), nil); a.status/100 != 2 {
		t.Errorf("cancelling: %s", a)
	}
}

// TestRetention: old builds are forgotten, the newest stay.
func TestRetention(t *testing.T) {
	d := startDaemon(t, daemonOptions{Flags: []string{"--keep-builds", "3"}})
	for i := range 6 {
		d.succeed(d.submit(maker, uploaded(t, plain(fmt.Sprintf("old-%d", i), "text")))[0].ID, time.Minute)
	}
	newest := d.builds()[0].ID
	d.stop()
	d.start()
	rig.WaitFor(t, 30*time.Second, "the forgetting of old builds", func() bool { return len(d.builds()) == 3 })
	if d.builds()[0].ID != newest {
		t.Errorf("the newest build is %d, it was %d", d.builds()[0].ID, newest)
	}
	if id := d.submit(maker, uploaded(t, plain("new", "text")))[0].ID; id <= newest {
		t.Errorf("the number %d was given twice", id)
	}
	if n := len(d.images()); n < 6 {
		t.Errorf("the registry has %d images: what is forgotten of builds must not take images with it", n)
	}
}
