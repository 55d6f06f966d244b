package clients

import (
	"path/filepath"
	"strings"
	"testing"
)

// FuzzMerge: whatever the files hold, merging ends with an error or with files
// that need no second merge.
func FuzzMerge(f *testing.F) {
	names, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(names) == 0 {
		f.Fatal(err)
	}
	for _, name := range names {
		g := parseGolden(f, name)
		for _, section := range g.order {
			if strings.HasPrefix(section, "in/") {
				f.Add(g.sections[section])
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for client, file := range map[string]string{
			"docker": daemonJSON, "containerd": "etc/containerd/config.toml", "nerdctl": "etc/containerd/certs.d/docker.io/hosts.toml",
			"k3s": "etc/rancher/k3s/registries.yaml", "podman": "etc/containers/registries.conf", "buildkit": "etc/buildkit/buildkitd.toml",
		} {
			root := t.TempDir()
			lay(t, root, file, text)
			opt := Options{Registry: "192.168.1.5:6000", Mirrors: []string{"docker.io=192.168.1.5:6000"}, User: "bob", Password: "hush", Root: root, OS: "linux"}
			plan, err := New([]string{client}, opt)
			if err != nil {
				continue
			}
			if _, err := plan.Write(writeTime); err != nil {
				t.Fatalf("%s: %v", client, err)
			}
			again, err := New([]string{client}, opt)
			if err != nil {
				t.Fatalf("%s: the second time: %v\n%s", client, err, plan.Files[0].New)
			}
			for _, file := range again.Files {
				if file.Changed() {
					t.Errorf("%s changes %q a second time:\n%s", client, file.Path, file.Diff())
				}
			}
		}
	})
}
