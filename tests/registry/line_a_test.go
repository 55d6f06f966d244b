package registry

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/bcrypt"

	clientconf "github.com/riscv-build/riscv-build/pusher/clients"
	"github.com/riscv-build/riscv-build/tests/rig"
)

const account, password = "anna", `p4:"x#`

// site is a registry on one machine, and a machine whose clients are configured
// for it by what `configure` wrote and nothing else.
type site struct {
	registry, client *machine
	host             string // of the registry, as image names have it
	url              string
	seed             seeded
	secure           bool
	ca               string // the certificate that a client needs, if any
	ref              string // of the image there is, an index
	one              string // of its image for riscv64, by itself
	commands         []string
	root             string // what configure wrote
}

// way is one way in which clients use the registry.
type way struct {
	name  string
	works func(*site)
}

// TestLineRegistryA: the clients people have, configured by the program, push
// to the registry, pull from it, list what it has and delete from it.
func TestLineRegistryA(t *testing.T) {
	all := clients(t)
	for _, secure := range []bool{false, true} {
		name := map[bool]string{false: "HTTP", true: "HTTPS and an account"}[secure]
		t.Run(name, func(t *testing.T) {
			begin, done := time.Now(), 0
			s := newSite(t, secure)
			s.open(all)
			ways := []way{{"CRI", (*site).kubelet}, {"K3s", (*site).k3s}, {"mirror", (*site).mirror}}
			for _, c := range all {
				ways = append(ways, way{c.name, func(s *site) { s.works(c) }})
			}
			for _, w := range ways {
				if t.Run(w.name, func(t *testing.T) { w.works(s.on(t)) }) {
					done++
				}
			}
			rig.Figure{
				Line: "registry A, " + name, Got: fmt.Sprintf("%d of the clients and ways work (%.0f s)", done, time.Since(begin).Seconds()),
				Limit: fmt.Sprint(len(ways)), OK: done == len(ways),
			}.Report(t)
		})
	}
}

// newSite starts a registry, and configures a machine's clients for it.
func newSite(t *testing.T, secure bool) *site {
	t.Helper()
	s := &site{host: "10.77.0.1:6000", url: "http://10.77.0.1:6000", secure: secure, seed: newSeed(t), registry: newMachine(t), client: newMachine(t)}
	s.ref, s.one = s.host+"/seed/app:1", s.host+"/library/nginx:1.26"
	connect(t, s.registry, s.client, [2]string{"10.77.0.1", "10.77.0.2"})
	content := filepath.Join(s.registry.dir, "content")
	serve := []string{"registry", "serve", "--addr", s.host, "--root", content}
	if secure {
		s.url, s.ca = "https://"+s.host, filepath.Join(content, "tls", "ca.crt")
		serve = append(serve, "--tls-self-signed", "10.77.0.1", "--htpasswd", accounts(t))
	}
	rig.StartCommand(t, s.registry.command(rig.Binary, serve...))
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		return s.registry.run("curl -sfk -o /dev/null "+s.url+"/healthz").Code == 0
	})
	s.configure()
	return s
}

// on is the site for a test below another.
func (s *site) on(t *testing.T) *site {
	m, of := *s.client, *s
	m.t, of.client = t, &m
	return &of
}

// accounts writes a file of one account.
func accounts(t *testing.T) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(name, []byte(account+":"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

var command = regexp.MustCompile("run `([^`]+)`")

// configure has the program write what the clients need, into a directory of
// which the client's machine then has /etc, and keeps the commands that it says
// are still to be run.
func (s *site) configure() {
	t := s.client.t
	t.Helper()
	root, err := os.MkdirTemp(rig.Work, "configured-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	s.root = root
	if s.secure { // beside what a package or an administrator has put there
		write(t, filepath.Join(root, "etc/containerd/config.toml"), s.client.must("containerd config default"))
		write(t, filepath.Join(root, "etc/docker/daemon.json"), `{"log-level": "warn"}`)
	}
	said := s.configured("docker", "containerd", "podman", "--mirror", "docker.io="+s.url)
	for _, m := range command.FindAllStringSubmatch(said, -1) {
		s.commands = append(s.commands, m[1])
	}
	s.client.adopt(root)
	if s.secure { // how riscv-build itself reaches it
		write(t, filepath.Join(s.client.dir, "home/.config/riscv-build/config.toml"), fmt.Sprintf("[registries.%q]\nca = %q\n", s.host, s.ca))
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// configured runs `configure` for the registry, and gives its notes.
func (s *site) configured(args ...string) string {
	t := s.client.t
	t.Helper()
	args = append([]string{"configure", "--registry", s.url, "--write", "--root", s.root}, args...)
	var env []string
	if s.secure {
		args, env = append(args, "--ca", s.ca, "--user", account), []string{clientconf.PasswordVariable + "=" + password}
	}
	r := rig.Run(t.Context(), env, args...)
	if r.Code != 0 {
		t.Fatalf("%q: exit code %d\n%s", args, r.Code, r.Stderr)
	}
	return r.Stderr
}

// open starts what has to run, logs in where that is asked for, and puts an
// image into the registry.
func (s *site) open(all []client) {
	m, t := s.client, s.client.t
	t.Helper()
	for _, c := range all {
		m.must("mkdir -p " + filepath.Join(m.dir, c.name))
		if c.begin != nil {
			c.begin(m, filepath.Join(m.dir, c.name))
		}
	}
	if s.secure {
		for _, c := range all {
			if c.name != "containerd" { // which has the account in its configuration
				m.refused(s.line(c, c.pull), "401", "unauthorized", "authentication required", "no basic auth", "authenticat")
			}
		}
	}
	for _, line := range s.commands {
		m.typed(line, "assword", password)
	}
	if want := map[bool]int{true: 2}[s.secure]; len(s.commands) != want {
		t.Errorf("configure gave the commands %q, want %d", s.commands, want)
	}
	m.must(fmt.Sprintf("%s copy --all oci:%s %s", rig.Binary, s.seed.dir, s.ref))
	m.must(fmt.Sprintf("%s push %s %s", rig.Binary, s.seed.dir, s.one))
}

// line fills a command line of a client.
func (s *site) line(c client, text string) string {
	repo := s.host + "/" + c.name + "/app"
	return strings.NewReplacer("HOST", s.host, "SEED", s.ref, "OWN", repo+":of-"+c.name, "REPO", repo, "STATE", filepath.Join(s.client.dir, c.name)).Replace(text)
}

// holds looks at what the registry has of a client.
func (s *site) holds(c client) {
	m, t := s.client, s.client.t
	t.Helper()
	raw := m.must(s.line(c, "skopeo inspect --raw docker://OWN"))
	var manifest ocispec.Manifest
	if err := json.Unmarshal([]byte(raw), &manifest); err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	if manifest.Config.Digest != s.seed.config || len(manifest.Layers) != 2 {
		t.Errorf("%s pushed another image:\n%s", c.name, raw)
	}
	if got := digest.FromString(raw); c.keeps && got != s.seed.image {
		t.Errorf("%s pushed %s, want %s", c.name, got, s.seed.image)
	}
	m.must(s.line(c, rig.Binary+" registry inspect OWN"))
}
