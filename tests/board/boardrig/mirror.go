package boardrig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// mirror is an archive for boards, which see no network but the host: it hands
// on what the host's mirrors have, and keeps packages for the next run. What it
// keeps is no more trusted than a mirror: the program compares it with a lock.
type mirror struct {
	upstream debian.Mirrors
	kept     string // directory
}

var mirrors once

// MirrorEnv has programs of the host download through the mirror that boards
// download through: what one has, the other need not fetch again.
func MirrorEnv(t *testing.T) []string {
	t.Helper()
	return mirrorEnv(t, "127.0.0.1")
}

// mirrorEnv has programs use the mirror, which is started once, under a name of the host.
func mirrorEnv(t testing.TB, host string) []string {
	t.Helper()
	port := mirrors.get(t, "mirror", func() (string, error) {
		upstream, err := debian.Discover(debian.DiscoverOptions{})
		if err != nil {
			return "", err
		}
		cache, err := os.UserCacheDir()
		if err != nil {
			cache = "/var/cache"
		}
		server := httptest.NewServer(&mirror{upstream: upstream, kept: filepath.Join(cache, "riscv-build", "boards", "pool")})
		rig.Finally(server.Close)
		return strconv.Itoa(server.Listener.Addr().(*net.TCPAddr).Port), nil
	})
	root := "http://" + net.JoinHostPort(host, port)
	return []string{"RISCV_BUILD_MIRROR=" + root + "/debian", "RISCV_BUILD_SECURITY_MIRROR=" + root + "/debian-security", "RISCV_BUILD_SNAPSHOT=none"}
}

// ServeHTTP serves /debian and /debian-security.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	archive, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if archive != debian.ArchiveDebian && archive != debian.ArchiveSecurity || !filepath.IsLocal(path) {
		http.NotFound(w, r)
		return
	}
	urls := m.upstream.URLs(archive, path)
	if !strings.HasPrefix(path, "pool/") {
		m.pass(w, r, urls)
		return
	}
	file := filepath.Join(m.kept, archive, path)
	if _, err := os.Stat(file); err != nil {
		if err := download(r.Context(), urls, file); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
	}
	http.ServeFile(w, r, file)
}

// pass gives the answer of the first mirror that has it.
func (m *mirror) pass(w http.ResponseWriter, r *http.Request, urls []string) {
	resp, err := ask(r.Context(), urls)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer resp.Body.Close()
	if resp.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	_, _ = io.Copy(w, resp.Body)
}

func ask(ctx context.Context, urls []string) (*http.Response, error) {
	var failures []error
	for _, url := range urls {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil && resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		if err == nil {
			resp.Body.Close()
			err = fmt.Errorf("%s: %s", url, resp.Status)
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// download writes aside and renames: a file that is there is whole.
func download(ctx context.Context, urls []string, file string) error {
	resp, err := ask(ctx, urls)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	aside, err := os.CreateTemp(filepath.Dir(file), ".download-")
	if err != nil {
		return err
	}
	_, err = io.Copy(aside, resp.Body)
	if err = errors.Join(err, aside.Close()); err == nil {
		err = os.Rename(aside.Name(), file)
	}
	if err != nil {
		_ = os.Remove(aside.Name())
	}
	return err
}
