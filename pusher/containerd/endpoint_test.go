package containerd

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		SystemSocket:                          SystemSocket + ",namespace=default",
		"unix://" + SystemSocket:              SystemSocket + ",namespace=default",
		K3sSocket:                             K3sSocket + ",namespace=k8s.io",
		K3sSocket + ",namespace=mine":         K3sSocket + ",namespace=mine",
		SystemSocket + ",namespace=k8s.io":    SystemSocket + ",namespace=k8s.io",
		"containerd.sock":                     `reading containerd "containerd.sock": the socket is no absolute path: give SOCKET[,namespace=NS], such as /run/containerd/containerd.sock, or none`,
		SystemSocket + ",snapshotter=overlay": `"snapshotter=overlay" is not namespace=NS`,
		SystemSocket + ",namespace=":          `"namespace=" is not namespace=NS`,
	} {
		e, err := Parse(text)
		if err != nil {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %s", text, err, want)
			}
			continue
		}
		if e.String() != want {
			t.Errorf("%s: got %s, want %s", text, e, want)
		}
	}
}

func TestFindSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for wanted, want := range map[string]string{
		filepath.Join(dir, "none.sock"): "there is no such socket",
		file:                            "that is no socket",
		"relative":                      "no absolute path",
	} {
		if _, ok, err := Find(context.Background(), wanted); ok || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v, want %q", wanted, ok, err, want)
		}
	}
	if _, ok, err := Find(context.Background(), None); ok || err != nil {
		t.Errorf("none: got %v, %v", ok, err)
	}
}

// A socket on which nobody answers as containerd does is passed over.
func TestFindPassesOverSocketsThatDoNotAnswer(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "dead.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	defer l.Close()
	if e, ok, err := find(context.Background(), []string{socket + "-absent", socket}); ok || err != nil {
		t.Errorf("got %v, %v, %v", e, ok, err)
	}
}
