package gomod

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
)

// Sum gives the checksum of a module version's zip, or with goMod that of its
// go.mod, from the checksum database; "" where none vouches for the module.
func (c *Client) Sum(ctx context.Context, m module.Version, goMod bool) (string, error) {
	if c.exempt(m.Path) {
		return "", nil
	}
	version := m.Version
	if goMod {
		version += "/go.mod"
	}
	ops := &sumOps{ctx: ctx, client: c}
	lines, err := sumdb.NewClient(ops).Lookup(m.Path, version)
	if err == nil && ops.alarm != "" {
		err = fmt.Errorf("%s", ops.alarm)
	}
	if err != nil {
		return "", fmt.Errorf("asking the checksum database for module %q at %q: %w", m.Path, version, err)
	}
	for _, l := range lines {
		if f := strings.Fields(l); len(f) == 3 && f[0] == m.Path && f[1] == version {
			return f[2], nil
		}
	}
	return "", fmt.Errorf("asking the checksum database for module %q at %q: it does not know it: check path and version", m.Path, version)
}

// sumOps is what the checksum database's client reads from and writes to.
type sumOps struct {
	ctx    context.Context
	client *Client
	alarm  string

	mu sync.Mutex
}

var _ sumdb.ClientOps = (*sumOps)(nil)

// ReadRemote asks the proxies, which may pass the database on, then itself.
func (o *sumOps) ReadRemote(path string) ([]byte, error) {
	name, _, _ := strings.Cut(o.client.SumKey, "+")
	var urls []string
	for _, root := range o.client.URLs {
		urls = append(urls, root+"/sumdb/"+name+path)
	}
	return o.client.read(o.ctx, name+path, append(urls, o.client.SumURL+path))
}

func (o *sumOps) file(name string) string {
	return filepath.Join(o.client.Dir, filepath.FromSlash(name))
}

// ReadConfig gives the key and the newest tree that was seen.
func (o *sumOps) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(o.client.SumKey), nil
	}
	data, err := os.ReadFile(o.file(file))
	if os.IsNotExist(err) {
		return nil, nil
	}
	return data, err
}

// WriteConfig remembers the newest tree.
func (o *sumOps) WriteConfig(file string, old, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if have, err := o.ReadConfig(file); err != nil || !bytes.Equal(have, old) {
		return sumdb.ErrWriteConflict
	}
	return o.write(file, data)
}

// ReadCache gives what an earlier run read.
func (o *sumOps) ReadCache(file string) ([]byte, error) { return os.ReadFile(o.file(file)) }

// WriteCache keeps what was read; losing it costs another request.
func (o *sumOps) WriteCache(file string, data []byte) { _ = o.write(file, data) }

// Log is for debugging the database's client.
func (o *sumOps) Log(string) {}

// SecurityError notes that the database contradicts itself.
func (o *sumOps) SecurityError(msg string) { o.alarm = msg }

// write replaces a file whole.
func (o *sumOps) write(file string, data []byte) error {
	path := o.file(file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if syncErr := f.Sync(); err == nil {
		err = syncErr
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
