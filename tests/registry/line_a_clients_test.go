package registry

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// client is how a client of registries is driven. In the command lines SEED
// stands for the image there is, OWN for the name of the client's own, REPO for
// that without its tag, STATE for a directory of the client's own.
type client struct {
	name string
	// begin starts what has to run in the background; nil for nothing.
	begin func(m *machine, state string)
	pull  string   // gets SEED, for linux/riscv64
	push  []string // puts it as OWN
	again string   // gets OWN
	sees  string   // prints what it has got as OWN: the digest of the image or of its configuration
	keeps bool     // the digest of the image, not only that of its configuration
	clear string   // forgets both
	list  string   // prints the tags; "" for one that cannot
	rm    string   // deletes OWN at the registry; "" for one that cannot
}

// pod is podman with a store of the test's own.
const pod = "podman --root STATE/root --runroot /run/podman --cgroup-manager cgroupfs "

// hostsDir is where containerd is configured; its command line is told.
const hostsDir = "--hosts-dir /etc/containerd/certs.d"

// clients are the clients of line A.
func clients(t *testing.T) []client {
	docker := client{
		name: "docker", begin: beginDocker,
		pull:  "docker pull --platform linux/riscv64 SEED",
		push:  []string{"docker tag SEED OWN", "docker push OWN"},
		again: "docker pull --platform linux/riscv64 OWN",
		sees:  "docker image inspect -f {{.Id}} OWN",
		clear: "docker image rm SEED OWN",
	}
	containerd := client{
		name: "containerd", begin: beginContainerd, keeps: true,
		pull:  "ctr images pull " + hostsDir + " --platform linux/riscv64 SEED",
		push:  []string{"ctr images tag SEED OWN", "ctr images push " + hostsDir + " --platform linux/riscv64 OWN"},
		again: "ctr images pull " + hostsDir + " --platform linux/riscv64 OWN",
		sees:  "ctr images list name==OWN",
		clear: "ctr images remove --sync SEED OWN",
	}
	podman := client{
		name:  "podman",
		pull:  pod + "pull --platform linux/riscv64 SEED",
		push:  []string{pod + "tag SEED OWN", pod + "push OWN"},
		again: pod + "pull --platform linux/riscv64 OWN",
		sees:  pod + "image inspect -f {{.Id}} OWN",
		clear: pod + "image rm -f SEED OWN",
		list:  pod + "search --list-tags REPO",
	}
	skopeo := client{
		name: "skopeo", keeps: true,
		pull:  "skopeo copy --override-arch riscv64 docker://SEED oci:STATE/seed",
		push:  []string{"skopeo copy oci:STATE/seed docker://OWN"},
		again: "skopeo copy --override-arch riscv64 docker://OWN oci:STATE/own",
		sees:  "skopeo inspect --override-arch riscv64 -f {{.Digest}} docker://OWN",
		clear: "rm -rf STATE/seed STATE/own",
		list:  "skopeo list-tags docker://REPO",
		rm:    "skopeo delete docker://OWN",
	}
	// It has no configuration: an account comes from docker's file, and a CA from
	// where it is told that there is one.
	program := "env SSL_CERT_FILE=/etc/docker/certs.d/HOST/ca.crt " + rig.BuildClient(t, "crane", "github.com/google/go-containerregistry/cmd/crane")
	crane := client{
		name: "crane", keeps: true,
		pull:  program + " pull --platform linux/riscv64 --format oci SEED STATE/seed",
		push:  []string{program + " push STATE/seed OWN"},
		again: program + " pull --platform linux/riscv64 --format oci OWN STATE/own",
		sees:  program + " digest OWN",
		clear: "rm -rf STATE/seed STATE/own",
		list:  program + " ls REPO",
		rm:    program + " delete OWN",
	}
	return []client{docker, containerd, podman, skopeo, crane}
}

// beginDocker starts the daemon by hand, without touching a network.
func beginDocker(m *machine, state string) {
	m.t.Helper()
	rig.Need(m.t, "docker", "docker.io")
	rig.StartCommand(m.t, m.command(rig.Need(m.t, "dockerd", "docker.io"), "--data-root", filepath.Join(state, "data"), "--exec-root", "/run/docker",
		"--bridge", "none", "--iptables=false", "--ip6tables=false"))
	rig.WaitFor(m.t, time.Minute, "dockerd", func() bool { return m.run("docker version").Code == 0 })
}

func beginContainerd(m *machine, state string) {
	m.t.Helper()
	rig.Need(m.t, "ctr", "containerd")
	rig.StartCommand(m.t, m.command(rig.Need(m.t, "containerd", "containerd"), "--root", state))
	rig.WaitFor(m.t, time.Minute, "containerd", func() bool { return m.run("ctr version").Code == 0 })
}

// works takes a client through everything that it can do.
func (s *site) works(c client) {
	m, t := s.client, s.client.t
	t.Helper()
	do := func(line string) string {
		t.Helper()
		return m.must(s.line(c, line))
	}
	do(c.pull)
	for _, line := range c.push {
		do(line)
	}
	s.holds(c)
	if c.list != "" {
		if got := do(c.list); !strings.Contains(got, "of-"+c.name) {
			t.Errorf("%s lists %q as the tags of %s", c.name, got, s.line(c, "REPO"))
		}
	}
	do(c.clear)
	do(c.again)
	want := s.seed.config
	if c.keeps {
		want = s.seed.image
	}
	if got := do(c.sees); !strings.Contains(got, want.Encoded()) {
		t.Errorf("%s pulled %q, which should be %s", c.name, got, want)
	}
	if c.rm != "" {
		do(c.rm)
	} else {
		do(rig.Binary + " registry rm OWN")
	}
	do(strings.ReplaceAll(c.clear, "SEED ", ""))
	m.refused(s.line(c, c.again), "not found", "manifest unknown", "manifest_unknown", "name unknown")
}
