package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// kubelet drives containerd as Kubernetes does, which knows no accounts here:
// it has the registry's from containerd's own configuration.
func (s *site) kubelet() {
	t := s.client.t
	t.Helper()
	ref := s.host + "/cri/app:1"
	s.client.must(fmt.Sprintf("%s copy %s %s", rig.Binary, s.one, ref))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	images := s.client.cri()
	spec := &cri.ImageSpec{Image: ref}
	pulled, err := images.PullImage(ctx, &cri.PullImageRequest{Image: spec})
	if err != nil {
		t.Fatal(err)
	}
	if pulled.ImageRef != s.seed.config.String() {
		t.Errorf("the image is %q, want %q", pulled.ImageRef, s.seed.config)
	}
	is, err := images.ImageStatus(ctx, &cri.ImageStatusRequest{Image: spec})
	if err != nil || is.Image == nil || fmt.Sprint(is.Image.RepoDigests) != fmt.Sprintf("[%s/cri/app@%s]", s.host, s.seed.image) {
		t.Errorf("status %v, %v", is, err)
	}
	has := func() bool {
		all, err := images.ListImages(ctx, &cri.ListImagesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all.Images {
			for _, tag := range i.RepoTags {
				if tag == ref {
					return true
				}
			}
		}
		return false
	}
	if !has() {
		t.Errorf("%s is not in the list", ref)
	}
	if _, err := images.RemoveImage(ctx, &cri.RemoveImageRequest{Image: spec}); err != nil || has() {
		t.Errorf("removing %s: %v, and it is still listed: %v", ref, err, has())
	}
	s.client.must(rig.Binary + " registry rm " + ref)
	if _, err := images.PullImage(ctx, &cri.PullImageRequest{Image: spec}); status.Code(err) != codes.NotFound {
		t.Errorf("pulling what was deleted: %v", err)
	}
	// Short names come from the mirror of docker.io; there is no other way out.
	for _, short := range []string{"nginx:1.26", "docker.io/library/nginx:1.26"} {
		if _, err := images.PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: short}}); err != nil {
			t.Errorf("pulling %s: %v", short, err)
		}
		if _, err := images.RemoveImage(ctx, &cri.RemoveImageRequest{Image: &cri.ImageSpec{Image: short}}); err != nil {
			t.Error(err)
		}
	}
}

// cri connects to containerd through its socket, which is in the machine's /run.
func (m *machine) cri() cri.ImageServiceClient {
	m.t.Helper()
	at := fmt.Sprintf("unix:///proc/%d/root/run/containerd/containerd.sock", m.pid)
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	return cri.NewImageServiceClient(conn)
}

// k3s has K3s's parser read what is written for it, with a mirror whose names
// have another directory.
func (s *site) k3s() {
	t := s.client.t
	t.Helper()
	s.configured("k3s", "--mirror", "docker.io="+s.host+"/riscv64")
	out, err := exec.Command(k3sParser(t), "k3s", filepath.Join(s.root, "etc/rancher/k3s/registries.yaml")).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Mirrors map[string]struct {
			Endpoint []string
			Rewrite  map[string]string
		}
		Configs map[string]struct {
			Auth *struct{ Username, Password string }
			TLS  *struct {
				CA string `json:"ca_file"`
			}
		}
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	hub, own, conf := got.Mirrors["docker.io"], got.Mirrors[s.host], got.Configs[s.host]
	if fmt.Sprint(own.Endpoint, hub.Endpoint) != fmt.Sprintf("[%s] [%s]", s.url, s.url) || hub.Rewrite["^library/(.*)"] != "riscv64/$1" {
		t.Errorf("K3s understands %+v", got.Mirrors)
	}
	if s.secure && (conf.Auth == nil || conf.Auth.Username != account || conf.Auth.Password != password || conf.TLS == nil || !exists(filepath.Join(s.root, conf.TLS.CA))) {
		t.Errorf("K3s understands %+v", conf)
	}
}

// k3sParser builds the program that reads registries.yaml as K3s does.
func k3sParser(t *testing.T) string {
	t.Helper()
	return rig.BuildClient(t, "clientparsers", ".")
}

// mirror has the clients that can ask a mirror take an image of docker.io from
// it: nothing else is within reach.
func (s *site) mirror() {
	m := s.client
	hub, riscv := "docker.io/library/nginx:1.26", " --platform linux/riscv64 "
	docker := "docker pull" + riscv + "nginx:1.26"
	if s.secure {
		// It asks mirrors without an account, which `configure` says.
		m.refused(docker, "network is unreachable", "no such host", "no basic auth")
	} else {
		m.must(docker)
	}
	m.must("ctr images pull " + hostsDir + riscv + hub)
	m.must(s.line(client{name: "podman"}, pod+"pull"+riscv+hub))
	m.must("skopeo copy --override-arch riscv64 docker://" + hub + " oci:" + filepath.Join(m.dir, "skopeo", "hub"))
}
