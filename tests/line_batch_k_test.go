package tests

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// k3sCatalogue are the images that K3s starts, as it names them, by recipe.
var k3sCatalogue = map[string]string{
	"busybox":                "docker.io/rancher/mirrored-library-busybox:1.37.0",
	"coredns":                "docker.io/rancher/mirrored-coredns-coredns:1.13.1",
	"klipper-helm":           "docker.io/rancher/klipper-helm:v0.9.12",
	"klipper-lb":             "docker.io/rancher/klipper-lb:v0.4.13",
	"local-path-provisioner": "docker.io/rancher/local-path-provisioner:v0.0.32",
	"metrics-server":         "docker.io/rancher/mirrored-metrics-server:v0.8.0",
	"pause":                  "docker.io/rancher/mirrored-pause:3.6",
	"traefik":                "docker.io/rancher/mirrored-library-traefik:3.5.1",
}

// TestLineBatchK: the bundle of what the catalogue builds gives K3s's images the
// names that K3s lists, all for riscv64.
func TestLineBatchK(t *testing.T) {
	s, _ := batched(t)
	file := filepath.Join(t.TempDir(), "k3s-airgap-images-riscv64.tar")
	args := []string{"k3s", "bundle", "-o", file}
	var want []string
	for _, name := range catalogued() {
		if ref, ok := k3sCatalogue[name]; ok {
			want, args = append(want, ref), append(args, "--only", name)
		}
	}
	slices.Sort(want)
	s.ok(args...)
	ctd := rig.StartContainerd(t, rig.ContainerdOptions{Suite: rig.Trixie})
	ctd.MustCtr("-n", "k8s.io", "images", "import", "--platform", "linux/riscv64", file)
	got, foreign := kubernetesImages(ctd)
	limit := "the names that K3s lists, for what was built"
	if full {
		limit = fmt.Sprintf("the %d names that K3s lists", len(k3sCatalogue))
	}
	figure(t, "batch K", fmt.Sprintf("%s; %d not for riscv64", strings.Join(got, " "), foreign), limit,
		slices.Equal(got, want) && foreign == 0 && (!full || len(got) == len(k3sCatalogue)), false)
}
