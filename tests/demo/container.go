//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"golang.org/x/sys/unix"
)

// An emulated nginx is up in a second or two; a board may be slow.
const pagePatience = 60 * time.Second

// serve starts the image as a container and prints what it serves.
func serve(ctx context.Context, img *unpacked, work string) (err error) {
	bundle := filepath.Dir(img.root)
	id := "riscv-build-demo-" + strconv.Itoa(os.Getpid())
	if err := writeSpec(ctx, img, id, bundle); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(work, "container.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	run := exec.Command("runc", "run", "--bundle", bundle, id)
	run.Stdout, run.Stderr = log, log
	if err := run.Start(); err != nil {
		return fmt.Errorf("starting the container: %w", err)
	}
	defer func() {
		// The context may be over, and the container must not outlive this.
		out, e := exec.Command("runc", "delete", "--force", id).CombinedOutput()
		if e != nil {
			err = errors.Join(err, fmt.Errorf("removing container %q: %w: %s", id, e, out))
		}
		_ = run.Wait() // it was killed
	}()
	page, err := fetchPage(ctx, id)
	if err != nil {
		said, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%w\nthe container said:\n%s", err, said)
	}
	machine, err := exec.CommandContext(ctx, "runc", "exec", id, "uname", "-m").Output()
	if err != nil {
		return fmt.Errorf("running uname in the container: %w", err)
	}
	fmt.Printf("running  in a container of its own, uname -m says %s\n", bytes.TrimSpace(machine))
	fmt.Printf("serving  %s\n", title(page))
	return nil
}

// writeSpec writes the runtime configuration: the image's command with the
// rights and the isolation that containerd gives by default.
func writeSpec(ctx context.Context, img *unpacked, id, bundle string) error {
	c := img.config.Config
	ctx = namespaces.WithNamespace(ctx, "riscv-build-demo")
	spec, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: id},
		oci.WithRootFSPath(img.root),
		oci.WithProcessArgs(slices.Concat(c.Entrypoint, c.Cmd)...),
		oci.WithEnv(c.Env),
	)
	if err != nil {
		return fmt.Errorf("describing the container: %w", err)
	}
	if c.WorkingDir != "" {
		spec.Process.Cwd = c.WorkingDir
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, "config.json"), text, 0o600)
}

// fetchPage asks the container's port 80 from inside its network, where
// nothing but its own loopback is.
func fetchPage(ctx context.Context, id string) ([]byte, error) {
	var last error
	for deadline := time.Now().Add(pagePatience); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(200 * time.Millisecond) {
		pid, err := containerPID(ctx, id)
		if err != nil {
			last = err
			continue
		}
		page, err := get(ctx, fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			return page, nil
		}
		last = err
	}
	return nil, fmt.Errorf("asking the container for its page: %w", errors.Join(ctx.Err(), last))
}

func containerPID(ctx context.Context, id string) (int, error) {
	out, err := exec.CommandContext(ctx, "runc", "state", id).Output()
	if err != nil {
		return 0, fmt.Errorf("asking for the state of container %q: %w", id, err)
	}
	var state struct {
		PID    int    `json:"pid"`
		Status string `json:"status"`
	}
	if err := json.Unmarshal(out, &state); err != nil {
		return 0, err
	}
	if state.Status != "running" {
		return 0, fmt.Errorf("container %q is %s", id, state.Status)
	}
	return state.PID, nil
}

func get(ctx context.Context, netns string) ([]byte, error) {
	conn, err := dialInside(netns)
	if err != nil {
		return nil, err
	}
	client := http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
			return conn, nil
		}},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/", nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// dialInside connects from within a network namespace. A socket belongs to the
// namespace of the thread that makes it, so a thread enters the namespace,
// makes the connection, and is thrown away with its goroutine.
func dialInside(netns string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		file, err := os.Open(netns)
		if err != nil {
			done <- result{err: err}
			return
		}
		defer file.Close()
		if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{err: fmt.Errorf("entering %q: %w", netns, err)}
			return
		}
		conn, err := net.DialTimeout("tcp4", "127.0.0.1:80", 5*time.Second)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}

var titleTag = regexp.MustCompile(`(?is)<title>(.*?)</title>`)

func title(page []byte) string {
	if m := titleTag.FindSubmatch(page); m != nil {
		return strconv.Quote(strings.TrimSpace(string(m[1])))
	}
	return fmt.Sprintf("%d bytes without a title", len(page))
}
