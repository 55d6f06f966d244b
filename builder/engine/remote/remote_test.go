package remote

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/riscv-build/riscv-build/builder/engine"
)

func address(t *testing.T, text string) Address {
	t.Helper()
	a, err := ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"unix:///run/engine.sock":                        "",
		"tcp://192.168.1.5:1234":                         "",
		"tcp://[fe80::1]:1234":                           "",
		"ssh://me@board":                                 "",
		"ssh://me@board:2222/run/engine.sock":            "",
		"docker://":                                      "",
		"docker://colima":                                "",
		"docker-container://builder?context=pc":          "",
		"podman-container://my_builder":                  "",
		"nerdctl-container://b?namespace=k8s.io":         "",
		"kube-pod://b?context=c&namespace=n&container=d": "",

		"":                                "no such kind",
		"/run/engine.sock":                "no such kind",
		"http://host":                     "no such kind",
		"unix://engine.sock":              "no absolute path",
		"unix://":                         "no absolute path",
		"tcp://host":                      "a host and a port",
		"tcp://host:1/path":               "a host and a port",
		"ssh://":                          "no host",
		"ssh://me:secret@host":            "use a key",
		"ssh://-oProxyCommand=x":          "begin with -",
		"ssh://-l@host":                   "begin with -",
		"docker://?host=unix:///x":        "",
		"docker://context?host=unix:///x": "a context and a host",
		"docker-container://":             "no container",
		"docker-container://a/b":          "behind the name",
		"docker-container://a?x=y":        `parameter "x"`,
		"docker-container://me@a":         "only ssh has a user",
		"kube-pod://--kubeconfig=x":       "begin with -",
		"docker://a?context=b":            `parameter "context"`,
		"tcp://host:1#fragment":           "malformed",
		"unix:///a\nb":                    "reading engine",
	} {
		_, err := ParseAddress(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the message has the password: %v", text, err)
		}
	}
}

func TestCommandOf(t *testing.T) {
	for text, want := range map[string]string{
		"docker-container://b?context=pc":                "docker --context=pc exec -i b buildctl dial-stdio",
		"podman-container://b?connection=vm":             "podman --connection=vm exec -i b buildctl dial-stdio",
		"nerdctl-container://b?namespace=k8s.io":         "nerdctl --namespace=k8s.io exec -i b buildctl dial-stdio",
		"kube-pod://b?context=c&namespace=n&container=d": "kubectl --context=c --namespace=n exec -i --container=d b -- buildctl dial-stdio",
	} {
		if got := strings.Join(commandOf(address(t, text)), " "); got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
	got := commandOf(address(t, "ssh://me@board:2222/run/it's.sock"))
	if last := got[len(got)-1]; !strings.Contains(last, "dial-stdio") || !strings.Contains(last, "it") {
		t.Errorf("got %q", last)
	}
	if joined := strings.Join(got[:len(got)-1], " "); !strings.HasSuffix(joined, "-l me -p 2222 -- board") || !strings.Contains(joined, "BatchMode=yes") {
		t.Errorf("got %s", joined)
	}
}

func TestOldVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"v0.11.6": true, "v0.8.3": true, "v0.12.0": false, "v0.34.2": false, "v1.0.0": false, "": false, "v0.0.0+unknown": false, "0123abc": false,
	} {
		if old(version) != want {
			t.Errorf("%q: got %v", version, !want)
		}
	}
}

// dockerHome writes what Docker Desktop, Colima, Lima or a user leave in a home
// directory: contexts by name and host, and the current one.
func dockerHome(t *testing.T, current string, contexts map[string]string) (getenv func(string) string) {
	t.Helper()
	home := t.TempDir()
	write := func(path string, v any) {
		text, err := json.Marshal(v)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(home, ".docker/config.json"), map[string]any{"currentContext": current, "auths": map[string]any{}})
	for name, host := range contexts {
		write(filepath.Join(home, ".docker/contexts/meta", digest.FromString(name).Encoded(), "meta.json"), map[string]any{
			"Name": name, "Metadata": map[string]any{}, "Endpoints": map[string]any{"docker": map[string]any{"Host": strings.ReplaceAll(host, "HOME", home), "SkipTLSVerify": false}},
		})
	}
	return func(key string) string {
		if key == "HOME" {
			return home
		}
		return ""
	}
}

func TestDockerContexts(t *testing.T) {
	contexts := map[string]string{"desktop-linux": "unix://HOME/.docker/run/docker.sock", "colima": "unix://HOME/.colima/default/docker.sock", "empty": ""}
	getenv := dockerHome(t, "desktop-linux", contexts)
	home := getenv("HOME")
	with := func(extra map[string]string) func(string) string {
		return func(key string) string {
			if v, ok := extra[key]; ok {
				return v
			}
			return getenv(key)
		}
	}
	for _, c := range []struct {
		name   string
		env    map[string]string
		want   dockerContext
		failed bool
	}{
		{"", nil, dockerContext{name: "desktop-linux", host: "unix://" + home + "/.docker/run/docker.sock"}, false},
		{"", map[string]string{"DOCKER_CONTEXT": "colima"}, dockerContext{name: "colima", host: "unix://" + home + "/.colima/default/docker.sock"}, false},
		{"", map[string]string{"DOCKER_HOST": "tcp://a:1", "DOCKER_CONTEXT": "colima"}, dockerContext{name: "default"}, false},
		{"default", nil, dockerContext{name: "default"}, false},
		{"colima", map[string]string{"DOCKER_HOST": "tcp://a:1"}, dockerContext{name: "colima", host: "unix://" + home + "/.colima/default/docker.sock"}, false},
		{"absent", nil, dockerContext{}, true},
		{"empty", nil, dockerContext{}, true},
	} {
		got, err := findDockerContext(c.name, with(c.env))
		var environment *engine.EnvironmentError
		if got != c.want || (err != nil) != c.failed || c.failed && !errors.As(err, &environment) {
			t.Errorf("%q, %v: got %+v, %v", c.name, c.env, got, err)
		}
	}
}

// TestDiscover: what the virtual machines of macOS leave in a home directory.
func TestDiscover(t *testing.T) {
	for _, c := range []struct {
		name     string
		current  string
		contexts map[string]string
		sockets  []string
		env      map[string]string
		want     []string
	}{
		{name: "nothing"},
		{
			name: "Docker Desktop", current: "desktop-linux", contexts: map[string]string{"desktop-linux": "unix://HOME/.docker/run/docker.sock"},
			sockets: []string{".docker/run/docker.sock"}, want: []string{"docker://"},
		},
		{
			name: "Docker Desktop that does not run", current: "desktop-linux", contexts: map[string]string{"desktop-linux": "unix://HOME/.docker/run/docker.sock"},
		},
		{
			name: "Docker Desktop without the docker command", sockets: []string{".docker/run/docker.sock"},
			want: []string{"docker://?host=unix://HOME/.docker/run/docker.sock"},
		},
		{
			name: "Colima beside Docker Desktop", current: "colima",
			contexts: map[string]string{"desktop-linux": "unix://HOME/.docker/run/docker.sock", "colima": "unix://HOME/.colima/default/docker.sock", "colima-big": "unix://HOME/.colima/big/docker.sock"},
			sockets:  []string{".docker/run/docker.sock", ".colima/default/docker.sock", ".colima/big/docker.sock"},
			want:     []string{"docker://", "docker://colima-big", "docker://desktop-linux"},
		},
		{
			name: "Colima with containerd", sockets: []string{".colima/default/buildkitd.sock", ".colima/default/containerd.sock"},
			want: []string{"unix://HOME/.colima/default/buildkitd.sock"},
		},
		{
			name: "Colima elsewhere", env: map[string]string{"COLIMA_HOME": "HOME/vm"}, sockets: []string{"vm/default/buildkitd.sock", ".config/colima/old/docker.sock"},
			want: []string{"unix://HOME/vm/default/buildkitd.sock", "docker://?host=unix://HOME/.config/colima/old/docker.sock"},
		},
		{
			name: "Lima, by its templates", sockets: []string{".lima/buildkit/sock/buildkitd.sock", ".lima/docker/sock/docker.sock"},
			want: []string{"unix://HOME/.lima/buildkit/sock/buildkitd.sock", "docker://?host=unix://HOME/.lima/docker/sock/docker.sock"},
		},
		{
			name: "Lima, as its messages say", env: map[string]string{"LIMA_HOME": "HOME/lima", "BUILDKIT_HOST": "unix://HOME/lima/buildkit/sock/buildkitd.sock", "DOCKER_HOST": "unix://HOME/lima/docker/sock/docker.sock"},
			sockets: []string{"lima/buildkit/sock/buildkitd.sock", "lima/docker/sock/docker.sock"},
			want:    []string{"unix://HOME/lima/buildkit/sock/buildkitd.sock", "docker://"},
		},
		{
			name: "Rancher Desktop", current: "rancher-desktop", contexts: map[string]string{"rancher-desktop": "unix://HOME/.rd/docker.sock"},
			sockets: []string{".rd/docker.sock"}, want: []string{"docker://"},
		},
		{
			name: "Rancher Desktop beside Docker Desktop", current: "desktop-linux",
			contexts: map[string]string{"desktop-linux": "unix://HOME/.docker/run/docker.sock", "rancher-desktop": "unix://HOME/.rd/docker.sock"},
			sockets:  []string{".docker/run/docker.sock", ".rd/docker.sock"}, want: []string{"docker://", "docker://rancher-desktop"},
		},
		{
			name: "a name that is none in a URL", contexts: map[string]string{"no url": "unix:///x", "remote": "tcp://192.0.2.1:2376"}, want: []string{"docker://remote"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			inHome := dockerHome(t, c.current, c.contexts)
			home := inHome("HOME")
			for _, socket := range c.sockets {
				listen(t, filepath.Join(home, socket))
			}
			getenv := func(key string) string {
				if value, set := c.env[key]; set {
					return strings.ReplaceAll(value, "HOME", home)
				}
				if key == "DOCKER_HOST" && c.current == "" { // not this machine's own
					return "unix://" + home + "/absent.sock"
				}
				return inHome(key)
			}
			var got []string
			for _, a := range Discover(context.Background(), getenv) {
				if a.String() != "unix://"+DefaultSocket { // this machine's own
					got = append(got, strings.ReplaceAll(a.String(), home, "HOME"))
				}
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

// listen has something listen at a socket that ends every connection.
func listen(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go refuse(l)
}

// refuse closes every connection.
func refuse(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		conn.Close()
	}
}
