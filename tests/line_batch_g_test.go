package tests

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/riscv-build/riscv-build/recipes"
)

// service says how an image is started as its users do, and what it is asked.
type service struct {
	Args []string `toml:"args"` // of docker run, after the image
	Env  []string `toml:"env"`
	// Files are mounted: a path inside and what is there.
	Files map[string]string `toml:"files"`
	// One of the three: a page, an exchange over TCP, a command in the container.
	HTTP *struct {
		Port   int    `toml:"port"`
		Path   string `toml:"path"`
		Status int    `toml:"status"` // default 200
	} `toml:"http"`
	TCP *struct {
		Port int    `toml:"port"`
		Send string `toml:"send"`
	} `toml:"tcp"`
	Exec   []string `toml:"exec"`
	Answer string   `toml:"answer"` // what the answer matches, RE2
	// Settle is how long it is left alone before it is stopped; the file says why.
	Settle recipes.Duration `toml:"settle"`
}

// catalogued are the images of the catalogue that are held against their
// contracts: all in the full run, a few of each kind in the reduced one. The
// environment may name a few others, separated by commas.
func catalogued() []string {
	switch some := os.Getenv("RISCV_BUILD_ACCEPT_IMAGES"); {
	case some != "":
		return strings.Split(some, ",")
	case full:
		return recipes.Catalog()
	}
	return []string{"busybox", "memcached", "nginx", "pause", "redis", "static"}
}

// TestEveryImageHasAContract: no image of the catalogue is without one.
func TestEveryImageHasAContract(t *testing.T) {
	for _, name := range recipes.Catalog() {
		c := readContract(t, name)
		if asked := c.Run.HTTP != nil || c.Run.TCP != nil || len(c.Run.Exec) > 0; !asked && name != "pause" && name != "static" {
			t.Errorf("the contract of %s does not say what it is asked: add [run]", name)
		}
	}
}

// TestLineBatchG: the images of the catalogue, pulled from a registry by Docker,
// start, answer a request, and stop when they are told to.
func TestLineBatchG(t *testing.T) {
	s, _ := batched(t)
	reg := registry(t)
	docker := startDocker(t).(dockerLike)
	for _, name := range catalogued() {
		t.Run(name, func(t *testing.T) {
			run := readContract(t, name).Run
			if name == "static" {
				return // there is nothing in it to start
			}
			rep, _ := s.build(name, "--push", reg)
			ref := rep.Results[0].Tags[0]
			if err := docker.pull(ref); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			c := container{name: "batch-" + name, ref: ref, env: run.Env, mounts: mounted(t, run.Files), args: run.Args}
			pid, err := docker.up(c)
			defer docker.cmd("rm", "-f", c.name) //nolint:errcheck // it may be gone
			if err != nil {
				t.Fatal(err)
			}
			answer := answers(t, docker, c.name, pid, run)
			up := time.Since(start)
			if t.Failed() {
				logs, _ := docker.cmd("logs", "--tail", "20", c.name)
				t.Fatalf("it does not answer as it should: %s\n%s", answer, logs)
			}
			time.Sleep(run.Settle.Duration)
			start = time.Now()
			if _, err := docker.cmd("stop", "-t", "30", c.name); err != nil {
				t.Fatal(err)
			}
			took := time.Since(start)
			figure(t, "batch G", fmt.Sprintf("%s under docker: answers after %.1f s, stops in %.1f s", name, up.Seconds(), took.Seconds()), "stops in 10 s", took < 10*time.Second, true)
			if _, err := docker.cmd("rmi", "-f", ref); err != nil {
				t.Error(err)
			}
		})
	}
}

// mounted writes files that a container gets, where any user may read them.
func mounted(t *testing.T, files map[string]string) [][2]string {
	t.Helper()
	dir := t.TempDir()
	var mounts [][2]string
	for inside, text := range files {
		path := filepath.Join(dir, fmt.Sprint(len(mounts)))
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // read by the image's user
			t.Fatal(err)
		}
		mounts = append(mounts, [2]string{path, inside})
	}
	return mounts
}

// answers asks a started image until it answers as it should.
func answers(t *testing.T, d dockerLike, name string, pid int, s service) string {
	t.Helper()
	want, err := regexp.Compile(s.Answer)
	if err != nil {
		t.Fatal(err)
	}
	var last string
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		text, err := ask(d, name, pid, s)
		if err == nil && want.MatchString(text) {
			return text
		}
		last = fmt.Sprintf("%q (%v)", text, err)
		if out, err := d.cmd("inspect", "-f", "{{.State.Running}}", name); err != nil || out != "true" {
			last = "it has ended; before that: " + last
			break
		}
	}
	t.Fail()
	return last
}

// ask asks once. Requests come from this machine, over the container's own network.
func ask(d dockerLike, name string, pid int, s service) (string, error) {
	switch {
	case s.HTTP != nil:
		client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       func(_ context.Context, _, addr string) (net.Conn, error) { return dialInside(pid, addr) },
		}}
		resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d%s", s.HTTP.Port, s.HTTP.Path))
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != cmp.Or(s.HTTP.Status, http.StatusOK) {
			err = fmt.Errorf("status %s", resp.Status)
		}
		return string(body), err
	case s.TCP != nil:
		conn, err := dialInside(pid, fmt.Sprintf("127.0.0.1:%d", s.TCP.Port))
		if err != nil {
			return "", err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(20 * time.Second)) //nolint:errcheck // a socket takes deadlines
		if _, err := io.WriteString(conn, s.TCP.Send); err != nil {
			return "", err
		}
		return bufio.NewReader(conn).ReadString('\n')
	case len(s.Exec) > 0:
		return d.cmd(append([]string{"exec", name}, s.Exec...)...)
	}
	return "", nil
}

// dialInside connects within the network of a process.
func dialInside(pid int, addr string) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	done := make(chan result)
	go func() {
		// The thread is never unlocked, and so ends with the goroutine.
		runtime.LockOSThread()
		ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err != nil {
			done <- result{nil, err}
			return
		}
		conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
		done <- result{conn, err}
	}()
	r := <-done
	return r.conn, r.err
}
