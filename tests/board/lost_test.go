package board

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestContainerdLostUnderAServer: a test's server would go on without its
// containerd, and the build with it. The build ends and says why.
func TestContainerdLostUnderAServer(t *testing.T) {
	c := rig.StartContainerd(t, rig.ContainerdOptions{Suite: rig.Trixie})
	b := &broken{hosted: newHosted(t, c)}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(testdata())); err != nil {
		t.Fatal(err)
	}
	recipe := filepath.Join(dir, packageImage+".toml")
	text, err := os.ReadFile(recipe)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody listens there: the server waits as long as it may.
	deaf := strings.Replace(string(text), "tcp = { port = 1883", "tcp = { port = 1884", 1)
	if err := os.WriteFile(recipe, []byte(deaf), 0o644); err != nil {
		t.Fatal(err)
	}
	ended := make(chan rig.Result, 1)
	go func() {
		ended <- b.run("build", recipe, "--locked", "--offline", "--progress", "plain")
	}()
	rig.WaitFor(t, time.Minute, "the server", func() bool { return b.serves() || len(ended) > 0 })
	c.Restart()
	select {
	case r := <-ended:
		if r.Code != 3 || !strings.Contains(r.Stderr, "containerd at \""+c.Socket+"\" ended") || strings.Contains(r.Stderr, "correct the recipe") {
			t.Errorf("exit code %d\n%s", r.Code, rig.Tail(r.Stderr, 20))
		}
	case <-time.After(time.Minute):
		t.Error("the build goes on without its containerd")
	}
}

// serves tells whether the server of the last test runs.
func (b *broken) serves() bool {
	for _, file := range b.containers() {
		pid, _ := os.ReadFile(file) // the container may just have ended
		command, _ := os.ReadFile("/proc/" + string(pid) + "/cmdline")
		if strings.Contains(string(command), "/usr/sbin/mosquitto") && strings.Contains(string(command), "board.conf") {
			return true
		}
	}
	return false
}
