package board

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

const k3sSocket = "/run/k3s/containerd/containerd.sock"

// TestLineBoardG: what is loaded into K3s's containerd is Kubernetes' at once.
func TestLineBoardG(t *testing.T) {
	for _, suite := range []string{rig.Bookworm, rig.Trixie, rig.Forky} {
		t.Run(suite, func(t *testing.T) {
			c := rig.StartContainerd(t, rig.ContainerdOptions{Suite: suite, CRI: true, At: k3sSocket})
			k := &k3sNode{t: t, containerd: c, images: images(t, c.Reach())}
			k.engine = &engine{
				t: t, flags: []string{"--in", "containerd", "--containerd", k3sSocket}, load: []string{"--load", "--containerd", k3sSocket},
				command: func(env []string, args ...string) *exec.Cmd { return c.Command(env, rig.Binary, args...) },
			}
			k.loads()
			k.engine.runs("riscv64/app:1")
			k.cleans()
			rig.Figure{
				Line: "board G, --load into K3s's containerd " + c.Version, Got: "the CRI has name, ID and digest; run leaves nothing", Limit: "all", OK: !t.Failed(),
			}.Report(t)
		})
	}
}

// k3sNode is a containerd as K3s has it, and its image service.
type k3sNode struct {
	t          *testing.T
	containerd *rig.Containerd
	images     cri.ImageServiceClient
	engine     *engine
}

func images(t *testing.T, socket string) cri.ImageServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return cri.NewImageServiceClient(conn)
}

func (k *k3sNode) loads() {
	t := k.t
	t.Helper()
	first := k.engine.loaded("1.0")
	k.sees(first)
	out := k.containerd.MustCtr("-n", "k8s.io", "run", "--rm", "--platform", "linux/riscv64", "docker.io/riscv64/app:1", "by-hand")
	if !strings.Contains(out, "says 1.0") {
		t.Errorf("ctr says %q", out)
	}
	begin := time.Now()
	again := k.engine.loaded("1.0")
	took := time.Since(begin)
	rig.Figure{Line: "board G, loading what is there", Got: took.Round(time.Millisecond).String(), Limit: "1s", OK: took < time.Second && again.Loaded.Unchanged, Timing: again.Loaded.Unchanged}.Report(t)
	second := k.engine.loaded("1.1")
	if second.Digest == first.Digest || second.Loaded.Unchanged || second.Loaded.Engine != "containerd" || !strings.Contains(second.Loaded.Into, k3sSocket+", namespace k8s.io") {
		t.Errorf("loading another: %+v", second)
	}
	k.sees(second)
}

// sees holds that the CRI has an image by name, ID and digest, as after a pull.
func (k *k3sNode) sees(b built) {
	t := k.t
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	digest := "docker.io/riscv64/app@" + b.Digest
	var last string
	for range 100 {
		is, err := k.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: "riscv64/app:1"}})
		if err == nil && is.Image != nil && is.Image.Id == b.ConfigDigest && slices.Equal(is.Image.RepoTags, []string{"docker.io/riscv64/app:1"}) &&
			slices.Equal(is.Image.RepoDigests, []string{digest}) {
			for _, by := range []string{b.ConfigDigest, digest} {
				if is, err := k.images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: by}}); err != nil || is.Image == nil {
					t.Errorf("the CRI has no image %s: %v", by, err)
				}
			}
			return
		}
		last = is.String()
		time.Sleep(50 * time.Millisecond) // it hears of images by events
	}
	t.Errorf("the CRI has %s, want %s with %s", last, b.ConfigDigest, digest)
}

// cleans holds that neither killed runs nor killed loads leave anything.
func (k *k3sNode) cleans() {
	t := k.t
	t.Helper()
	layout := k.engine.layout()
	k.engine.killed(layout)
	k.removeAll()
	_, env := app(t, "1.0")
	for _, after := range []time.Duration{20, 60, 120, 200} {
		cmd := k.engine.command(env, append([]string{"load", layout}, k.engine.flags...)...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed, or had ended
	}
	k.removeAll()
	k.engine.says(layout) // clears what they left
	for _, what := range [][]string{{"images", "ls", "-q"}, {"containers", "ls", "-q"}, {"tasks", "ls", "-q"}, {"content", "ls", "-q"}, {"leases", "ls", "-q"}} {
		if left := k.containerd.MustCtr(append([]string{"-n", "k8s.io"}, what...)...); left != "" {
			t.Errorf("ctr %s: %s", strings.Join(what, " "), left)
		}
	}
	if left := k.containerd.MustCtr("-n", "k8s.io", "snapshots", "ls"); strings.Contains(left, "\n") {
		t.Errorf("snapshots: %s", left)
	}
}

// removeAll removes every image by the CRI, as the kubelet does.
func (k *k3sNode) removeAll() {
	t := k.t
	t.Helper()
	all, err := k.images.ListImages(t.Context(), &cri.ListImagesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all.Images {
		if _, err := k.images.RemoveImage(t.Context(), &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: i.Id}}); err != nil {
			t.Error(err)
		}
	}
}
