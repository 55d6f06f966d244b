package registry

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// walk is a reader of the README with two machines: the one that has the
// addresses of its examples, and a node.
type walk struct {
	lines          []string // the commands of the sections, without sudo and remarks
	registry, node *machine
	seed           seeded
}

// TestLineRegistryHContainerd follows the README's "Private registry" to a node
// that pulls: by K3s's own client, and by containerd for Kubernetes.
func TestLineRegistryHContainerd(t *testing.T) {
	for _, name := range []string{"HTTP", "HTTPS"} {
		t.Run(name, func(t *testing.T) {
			w := &walk{registry: newMachine(t), node: newMachine(t), seed: newSeed(t)}
			w.lines = append(readme(t, "Private registry"), readme(t, "Clients of a private registry")...)
			for _, m := range []*machine{w.registry, w.node} {
				m.env = append(m.env, "PATH="+filepath.Dir(rig.Binary)+":"+os.Getenv("PATH"), "RISCV_BUILD_STATE_DIR="+filepath.Join(m.dir, "state"))
			}
			w.node.adopt(filepath.Join(w.node.dir, "root"))
			connect(t, w.registry, w.node, [2]string{"192.168.1.5", "192.168.1.6"})
			begin := time.Now()
			map[string]func(*walk){"HTTP": (*walk).http, "HTTPS": (*walk).https}[name](w)
			rig.Figure{
				Line: "registry H, the README over " + name, Got: "K3s's client and containerd pull after " + time.Since(begin).Round(time.Second).String(),
				Limit: "both", OK: !t.Failed(),
			}.Report(t)
		})
	}
}

// readme gives the indented lines of a section of the README.
func readme(t *testing.T, title string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(rig.Root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## "+title+"\n")
	if !found {
		t.Fatalf("the README has no section %q", title)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var lines []string
	for line := range strings.Lines(section) {
		if code, ok := strings.CutPrefix(line, "    "); ok {
			code, _, _ = strings.Cut(code, "  #")
			lines = append(lines, strings.TrimPrefix(strings.TrimSpace(code), "sudo "))
		}
	}
	return lines
}

// line finds the first line that has all of some words.
func (w *walk) line(words ...string) string {
	w.node.t.Helper()
next:
	for _, line := range w.lines {
		for _, word := range words {
			if !strings.Contains(line, word) {
				continue next
			}
		}
		return line
	}
	w.node.t.Fatalf("the README has no line with %q", words)
	return ""
}

// shell is a line of the README as a reader types it, at home.
func shell(line string) []string {
	return []string{"-ec", "cd; " + strings.Replace(line, "PASSWORD=...", "PASSWORD='"+password+"'", 1)}
}

// does runs a line on the node.
func (w *walk) does(line string) {
	w.node.t.Helper()
	if out, err := w.node.command("sh", shell(line)...).CombinedOutput(); err != nil {
		w.node.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// serves runs the line that starts the registry, and gives what it said.
func (w *walk) serves(line, url string) string {
	t := w.node.t
	t.Helper()
	log := rig.StartCommand(t, w.registry.command("sh", shell(strings.Replace(line, "riscv-build", "exec riscv-build", 1))...))
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		return w.node.run("curl -sfk -o /dev/null "+url+"/healthz").Code == 0
	})
	said, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

func (w *walk) http() {
	w.serves("riscv-build registry serve", "http://192.168.1.5:6000")
	w.pushes()
	w.pulls(w.line("configure k3s", "--registry http://", "--write"))
	w.shortName(w.line("configure k3s", "--mirror docker.io=", "--write"))
}

func (w *walk) https() {
	t := w.node.t
	file, err := os.ReadFile(accounts(t))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(w.registry.dir, "home", "accounts"), string(file))
	said := w.serves(w.line("registry serve", "--tls-self-signed", "--htpasswd accounts"), "https://192.168.1.5:6000")
	ca := regexp.MustCompile(`trust the CA in "([^"]+)"`).FindStringSubmatch(said)
	if ca == nil {
		t.Fatalf("the registry names no CA:\n%s", said)
	}
	w.node.must("cp " + ca[1] + " " + filepath.Join(w.node.dir, "home"))
	w.does(w.line("configure docker", "https://", "--ca ca.crt", "--write"))
	beginDocker(w.node, filepath.Join(w.node.dir, "docker"))
	w.node.typed(w.line("docker login"), "assword", password)
	w.pushes()
	configure := w.line("configure k3s", "https://", "--user anna", "PASSWORD=...")
	w.pulls(configure)
	w.shortName(configure + " --mirror docker.io=192.168.1.5:6000/riscv64")
}

// image is what the README has Kubernetes run.
func (w *walk) image() string {
	w.node.t.Helper()
	_, image, _ := strings.Cut(w.line("kubectl run", "--image "), "--image ")
	return image
}

// pushes stands for the build, which other lines run: to where the README's
// pushes, and under the name that it goes on with.
func (w *walk) pushes() {
	w.node.t.Helper()
	target := strings.Fields(w.line("riscv-build nginx --push "))[3]
	if !strings.HasPrefix(w.image(), target+"/riscv64/nginx:") {
		w.node.t.Errorf("the README pushes to %s and pulls %s", target, w.image())
	}
	w.node.must(rig.Binary + " push " + w.seed.dir + " " + w.image())
}

// pulls configures K3s by a line, and containerd by the same; both then pull.
func (w *walk) pulls(configure string) {
	m := w.node
	m.t.Helper()
	w.does(configure)
	w.k3sPulls(w.image())
	w.does(strings.Replace(configure, "configure k3s", "configure containerd", 1))
	beginContainerd(m, filepath.Join(m.dir, "containerd"))
	got, err := m.cri().PullImage(m.t.Context(), &cri.PullImageRequest{Image: &cri.ImageSpec{Image: w.image()}})
	if err != nil || got.ImageRef != w.seed.config.String() {
		m.t.Errorf("containerd pulls %s: %v, %v", w.image(), got, err)
	}
}

// shortName configures K3s with a mirror, from which nginx then comes.
func (w *walk) shortName(configure string) {
	w.node.t.Helper()
	w.does(configure)
	w.k3sPulls("nginx:1.26")
}

func (w *walk) k3sPulls(image string) {
	m := w.node
	m.t.Helper()
	if got := m.must(k3sParser(m.t) + " pull /etc/rancher/k3s/registries.yaml " + image); got != `"`+w.seed.image.String()+`"` {
		m.t.Errorf("K3s pulls %s for %s", got, image)
	}
}
