package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	hosts "github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/moby/buildkit/cmd/buildkitd/config"
)

// containerdHosts is what containerd makes of a directory for a registry.
func containerdHosts(t *testing.T, root, registry string) []docker.RegistryHost {
	t.Helper()
	dir := hosts.HostDirFromRoot(filepath.Join(root, "etc/containerd/certs.d"))
	all, err := hosts.ConfigureHosts(context.Background(), hosts.HostOptions{HostDir: dir})(registry)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestContainerdReadsHosts(t *testing.T) {
	root := t.TempDir()
	if _, err := configure(t, root, "containerd --registry 192.168.1.5:6000 --mirror docker.io=192.168.1.5:6000 --mirror quay.io=r.example/quay"); err != nil {
		t.Fatal(err)
	}
	pull, push := docker.HostCapabilityPull|docker.HostCapabilityResolve, docker.HostCapabilityPush
	for registry, want := range map[string]docker.RegistryHost{
		"192.168.1.5:6000": {Scheme: "http", Host: "192.168.1.5:6000", Path: "/v2", Capabilities: pull | push},
		"docker.io":        {Scheme: "http", Host: "192.168.1.5:6000", Path: "/v2", Capabilities: pull},
		"quay.io":          {Scheme: "https", Host: "r.example", Path: "/v2/quay", Capabilities: pull},
	} {
		all := containerdHosts(t, root, registry)
		got := docker.RegistryHost{Scheme: all[0].Scheme, Host: all[0].Host, Path: all[0].Path, Capabilities: all[0].Capabilities}
		if len(all) != 2 || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %d hosts, the first %+v", registry, len(all), got)
		}
	}
}

// TestContainerdReachesARegistryWithACA: with what was written, by containerd's
// own client, over TLS and with a password.
func TestContainerdReachesARegistryWithACA(t *testing.T) {
	registry := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "bob" || password != `p:"x` {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer registry.Close()
	root, host := t.TempDir(), registry.Listener.Addr().String()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: registry.Certificate().Raw})
	lay(t, root, "ca.pem", string(ca))
	plan, err := New([]string{"containerd"}, Options{
		Registry: host, CAFile: filepath.Join(root, "ca.pem"), User: "bob", Password: `p:"x`,
		Root: root, OS: "linux", Mirrors: []string{"docker.io=" + host},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Write(writeTime); err != nil {
		t.Fatal(err)
	}
	// The registry's own address is tried twice: with the same account, or the
	// error of an image that is not there would be that of a missing account.
	own, mirrored := containerdHosts(t, root, host), containerdHosts(t, root, "docker.io")
	for _, at := range []docker.RegistryHost{own[0], own[len(own)-1], mirrored[0]} {
		req, err := http.NewRequest(http.MethodGet, at.Scheme+"://"+at.Host+at.Path+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = at.Header.Clone()
		resp, err := at.Client.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%q: %v, %v", at.Host, resp, err)
		}
		resp.Body.Close()
	}
	if last := mirrored[len(mirrored)-1]; last.Header.Get("Authorization") != "" {
		t.Errorf("docker.io is sent the account of %s", host)
	}
}

func TestBuildKitReadsItsConfiguration(t *testing.T) {
	root := t.TempDir()
	for _, request := range []string{
		"buildkit --registry 192.168.1.5:6000 --mirror docker.io=192.168.1.5:6000",
		"buildkit --registry h.example --ca ca.pem --mirror docker.io=10.0.0.1:5000",
	} {
		if _, err := configure(t, root, request); err != nil {
			t.Fatal(err)
		}
	}
	got, err := config.LoadFile(filepath.Join(root, "etc/buildkit/buildkitd.toml"))
	if err != nil {
		t.Fatal(err)
	}
	plain := got.Registries["192.168.1.5:6000"]
	if plain.PlainHTTP == nil || !*plain.PlainHTTP || plain.Insecure == nil || !*plain.Insecure {
		t.Errorf("got %+v", plain)
	}
	if mirrors := got.Registries["docker.io"].Mirrors; !reflect.DeepEqual(mirrors, []string{"10.0.0.1:5000", "192.168.1.5:6000"}) {
		t.Errorf("got %q", mirrors)
	}
	if ca := got.Registries["h.example"].RootCAs; !reflect.DeepEqual(ca, []string{"/etc/buildkit/certs/h.example-ca.crt"}) {
		t.Errorf("got %q", ca)
	}
}

// understood runs the parsers of K3s and podman, which are in a module of
// their own, and decodes what they say.
func understood(t *testing.T, into any, args ...string) {
	t.Helper()
	bin, err := parsers()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, errs.String())
	}
}

var parsersDir string

var parsers = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(parsersDir, "clientparsers")
	cmd := exec.Command("go", "build", "-C", "../../tests/clientparsers", "-o", bin, ".")
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return bin, cmd.Run()
})

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "clients")
	if err != nil {
		panic(err)
	}
	parsersDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

type k3sUnderstood struct {
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

func TestK3sReadsRegistries(t *testing.T) {
	for _, password := range []string{"secret", "p:x", "0123", "true", "null", "~", "a#b", "a:", "'", `"\`, "{x", "- x", "ü", "%a", "@x", "1e3", "0x1F", "1:20"} {
		root := t.TempDir()
		plan, err := New([]string{"k3s"}, Options{
			Registry: "https://192.168.1.5:6000", CAFile: "testdata/ca.pem", User: "bob", Password: password,
			Mirrors: []string{"docker.io=192.168.1.5:6000/riscv64", "quay.io=http://[fd00::1]:60"}, Root: root, OS: "linux",
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := plan.Write(writeTime); err != nil {
			t.Fatal(err)
		}
		var got k3sUnderstood
		understood(t, &got, "k3s", filepath.Join(root, "etc/rancher/k3s/registries.yaml"))
		hub, quay, own := got.Mirrors["docker.io"], got.Mirrors["quay.io"], got.Configs["192.168.1.5:6000"]
		if !reflect.DeepEqual(hub.Endpoint, []string{"https://192.168.1.5:6000"}) || hub.Rewrite["^library/(.*)"] != "riscv64/$1" ||
			!reflect.DeepEqual(quay.Endpoint, []string{"http://[fd00::1]:60"}) || len(got.Mirrors) != 3 {
			t.Errorf("mirrors %+v", got.Mirrors)
		}
		if own.Auth == nil || own.Auth.Username != "bob" || own.Auth.Password != password ||
			own.TLS == nil || own.TLS.CA != "/etc/rancher/k3s/certs/192.168.1.5_6000-ca.crt" {
			t.Errorf("password %q: configuration %+v", password, own)
		}
	}
}

// Every golden registries.yaml is read by K3s as it is by the parser here.
func TestK3sReadsTheGoldens(t *testing.T) {
	names, err := filepath.Glob("testdata/k3s-*.golden")
	if err != nil || len(names) == 0 {
		t.Fatal(err)
	}
	for _, name := range names {
		g := parseGolden(t, name)
		text, ok := g.sections["out/etc/rancher/k3s/registries.yaml"]
		if !ok {
			continue
		}
		file := filepath.Join(t.TempDir(), "registries.yaml")
		lay(t, "/", file, text)
		f, err := openYAML(file, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var got k3sUnderstood
		understood(t, &got, "k3s", file)
		for registry, m := range got.Mirrors {
			if want := f.strings("mirrors", registry, "endpoint"); !reflect.DeepEqual(m.Endpoint, want) || len(want) == 0 {
				t.Errorf("%s: %q has %q, want %q", name, registry, m.Endpoint, want)
			}
		}
		for registry, c := range got.Configs {
			if n := f.get("configs", registry, "auth", "password"); n != nil && c.Auth.Password != n.Value {
				t.Errorf("%s: %q has password %q, want %q", name, registry, c.Auth.Password, n.Value)
			}
		}
	}
}

func TestPodmanReadsItsConfiguration(t *testing.T) {
	root := t.TempDir()
	lay(t, root, "etc/containers/registries.conf", "unqualified-search-registries = [\"docker.io\"]\n")
	if _, err := configure(t, root, "podman --registry 192.168.1.5:6000 --mirror docker.io=192.168.1.5:6000/riscv64 --mirror quay.io=r.example.com/quay"); err != nil {
		t.Fatal(err)
	}
	type source struct {
		Reference string
		Insecure  bool
	}
	for name, want := range map[string][]source{
		"192.168.1.5:6000/team/x:1": {{"192.168.1.5:6000/team/x:1", true}},
		"nginx:1.26":                {{"192.168.1.5:6000/riscv64/nginx:1.26", true}, {"docker.io/library/nginx:1.26", false}},
		"rancher/pause:3":           {{"192.168.1.5:6000/rancher/pause:3", true}, {"docker.io/rancher/pause:3", false}},
		"quay.io/a/b:1":             {{"r.example.com/quay/a/b:1", false}, {"quay.io/a/b:1", false}},
	} {
		var got []source
		understood(t, &got, "podman", filepath.Join(root, "etc/containers"), name)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}
