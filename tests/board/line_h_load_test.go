package board

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineBoardH: images go into Docker and podman, which run them.
func TestLineBoardH(t *testing.T) {
	config := func(b built) string { return b.ConfigDigest }
	for _, x := range []struct {
		title, name string
		start       func(*testing.T) rig.Containers
		id          func(built) string // of an image there
	}{
		{"docker", "docker", rig.StartDocker, config},
		{"docker with containerd's store", "docker", func(t *testing.T) rig.Containers { return rig.StartNewDocker(t, true) }, func(b built) string { return b.Digest }},
		{"podman", "podman", rig.StartPodman, config},
	} {
		t.Run(x.title, func(t *testing.T) {
			name, c := x.name, x.start(t)
			e := &engine{
				t: t, flags: []string{"--in", name}, load: []string{"--load=" + name},
				command: func(env []string, args ...string) *exec.Cmd {
					cmd := exec.Command(rig.Binary, args...)
					cmd.Env = append(append(os.Environ(), env...), c.Env...)
					return cmd
				},
			}
			first := e.loaded("1.0")
			again := e.loaded("1.0")
			second := e.loaded("1.1")
			if first.Loaded.Unchanged || !again.Loaded.Unchanged || second.Loaded.Unchanged || second.Loaded.Engine != name {
				t.Errorf("%+v\n%+v\n%+v", first, again, second)
			}
			if got := c.Must("image", "inspect", "-f", "{{.Architecture}} {{.Id}}", "riscv64/app:1"); !strings.HasPrefix(got, "riscv64 ") ||
				!strings.HasSuffix(got, strings.TrimPrefix(x.id(second), "sha256:")) {
				t.Errorf("it has %q, want %s", got, x.id(second))
			}
			e.runs("riscv64/app:1")
			before := c.Must("images", "-q")
			e.killed(e.layout())
			if after := c.Must("images", "-q"); after != before {
				t.Errorf("images before %q, after %q", before, after)
			}
			if left := c.Must("ps", "-aq"); left != "" {
				t.Errorf("containers are left: %s", left)
			}
			rig.Figure{Line: "board H, --load into " + x.title, Got: "loads, replaces, runs, cleans up", Limit: "all", OK: !t.Failed()}.Report(t)
		})
	}
}
