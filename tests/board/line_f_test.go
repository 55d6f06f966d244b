package board

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// TestLineBoardF: the containerd of Debian 12, 13 and testing build on this machine
// what runc builds, have the image, run it, and are left as they were.
func TestLineBoardF(t *testing.T) {
	runc := byRunc(t)
	if runc.source.Worker != "runc" || runc.packages.Worker != "" {
		t.Errorf("without a containerd the workers are %q and %q", runc.source.Worker, runc.packages.Worker)
	}
	some := suites
	if !rig.Full {
		some = []string{rig.Bookworm, rig.Forky} // line C has the one between
	}
	for _, suite := range some {
		t.Run(suite, func(t *testing.T) {
			c := rig.StartContainerd(t, rig.ContainerdOptions{Suite: suite})
			h := newHosted(t, c)
			source, packages := h.build("pause"), h.build(packagesOnly())
			if source.Worker != "containerd" || packages.Worker != "" {
				t.Errorf("the workers are %q and %q", source.Worker, packages.Worker)
			}
			same := source.Digest == runc.source.Digest && packages.Digest == runc.packages.Digest
			ran := h.runs(source, "pause 3.6", 0, "-v") && h.runs(packages, "mosquitto version 2.", 3, "-h")
			if kept := strings.Join(h.kept(), "\n"); !strings.Contains(kept, "namespace riscv-build-") || !strings.Contains(kept, "/snapshots/") {
				t.Errorf("before cache prune there is nothing to leave: this shows nothing\n%s", kept)
			}
			h.ok(0, "cache", "prune")
			left := h.left()
			rig.Figure{
				Line: "board F", Got: fmt.Sprintf("containerd %s: runc's digests: %v, images run: %v, left after cache prune: %d%s",
					c.Version, same, ran, len(left), lines(left)),
				Limit: "true, true, 0", OK: same && ran && len(left) == 0,
			}.Report(t)
		})
	}
	if rig.Full {
		t.Run("on a board of forky", onForky)
	}
}

// onForky builds on a board whose containerd is 2.1 what runc builds here.
func onForky(t *testing.T) {
	runc := byRunc(t)
	b := boardrig.Start(t, boardrig.Options{Suite: boardrig.Forky, Seed: seed(t)})
	b.Copy(testdata(), recipeDir)
	for image, want := range map[string]string{packageImage: runc.packages.Digest, sourceImage: runc.source.Digest} {
		m := buildOn(t, b, image, "--load", "--containerd", kubernetes)
		x := m.Results[0]
		if x.Loaded == nil || len(x.Loaded.Names) == 0 {
			t.Errorf("%s was not loaded: %+v", image, x.Loaded)
		}
		rig.Figure{
			Line: "board F", Got: fmt.Sprintf("a board's containerd %s: %s %.19s in %.0f s", strings.TrimSpace(b.Must("containerd --version | cut -d' ' -f3").Stdout), image, x.Digest, m.took.Seconds()),
			Limit: "runc's digest " + want[:19], OK: x.Digest == want && !t.Failed(),
		}.Report(t)
	}
	for _, run := range runnings {
		run.byContainerd(t, b)
		run.byProgram(t, b)
	}
	b.Must("riscv-build cache prune")
	left := remains(b)
	rig.Figure{Line: "board F", Got: fmt.Sprintf("after cache prune: %q is left", left), Limit: "nothing", OK: left == ""}.Report(t)
}

// lines puts each word on a line of its own.
func lines(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "\n  " + strings.Join(words, "\n  ")
}

// runs tells whether containerd has the image under its name, and a container
// of it says something and ends with a status.
func (h *hosted) runs(m hostedImage, says string, code int, args ...string) bool {
	h.t.Helper()
	if len(m.Loaded.Names) == 0 {
		h.t.Fatalf("image %s was not loaded", m.Digest)
	}
	name := m.Loaded.Names[0]
	listed := strings.Split(h.c.MustCtr("-n", imageNamespace, "images", "ls"), "\n")
	if !slices.ContainsFunc(listed, func(l string) bool {
		return strings.HasPrefix(l, "docker.io/"+name+" ") && strings.Contains(l, m.Digest)
	}) {
		h.t.Errorf("containerd has no image %s with digest %s:\n%s", name, m.Digest, strings.Join(listed, "\n"))
		return false
	}
	r := h.run(append([]string{"run", "--in", "containerd", "--net", "none", name, "--"}, args...)...)
	if r.Code != code || !strings.Contains(r.Stdout, says) {
		h.t.Errorf("running %s: exit code %d\n%s\n%s", name, r.Code, r.Stdout, r.Stderr)
		return false
	}
	return true
}
