package service

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// The secrets that an attacker wants.
const (
	environmentSecret = "canary-of-the-environment"
	registryPassword  = "canary-of-the-registry"
)

// attack is a shell script that says what it could do, and nothing otherwise.
type attack struct{ name, script string }

// attacks are scripts that are run as root, in the tests of an image and in full
// runs in a step of a build as well.
func attacks(t *testing.T, d *daemon) []attack {
	t.Helper()
	files := []string{
		d.state, d.tokenFile, filepath.Join(d.state, "service", "store.db"), filepath.Join(d.state, "lock"), filepath.Join(d.state, "registry"),
		rig.Binary, "/root/.docker/config.json", "/etc/riscv-build", "/proc/1/root" + d.state, "/proc/self/root" + d.state, "/proc/self/cwd/../../../../../.." + d.state,
	}
	sockets := []string{
		filepath.Join(d.state, "service", "socket"), "/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock", "/var/run/docker.sock", "/run/docker.sock",
		"/run/podman/podman.sock", "/run/systemd/private", "/run/dbus/system_bus_socket", "/run/buildkit/buildkitd.sock",
	}
	exist := func(paths []string) string {
		return fmt.Sprintf("for f in '%s'; do if [ -e \"$f\" ]; then echo \"there is $f\"; fi; done\n", strings.Join(paths, "' '"))
	}
	var disk syscall.Stat_t
	if err := syscall.Stat(d.state, &disk); err != nil {
		t.Fatal(err)
	}
	major, minor := disk.Dev>>8&0xfff, disk.Dev&0xff
	return []attack{
		{"reads files of the host", exist(files) + "if grep -qs '[a-z]:[$]' /etc/shadow /proc/1/root/etc/shadow; then echo 'read passwords of the host'; fi"},
		{"reaches the sockets of others", exist(sockets) + "if grep -q '[@/]' /proc/net/unix; then grep '[@/]' /proc/net/unix; fi"},
		{"sees other builds and processes", "for p in /proc/[0-9]*; do if tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q 'riscv-build[ ]serve'; then echo \"sees $p\"; fi; done\n" +
			"find / -xdev \\( -name store.db -o -name 'buildkitd*' -o -name history.db -o -name cache.db \\) 2>/dev/null"},
		{"reaches the network", reaching(t, d)},
		{"reads secrets of the environment", "(env; cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n') | grep -i -e canary -e '_token=' -e '_secret=' -e '_password=' -e '^RISCV_BUILD_' || true"},
		{"mounts", "mkdir -p /tmp/m\nfor o in '-t tmpfs none' '-t proc proc' '-t sysfs sys' '-t cgroup2 none' '--bind /proc'; do if mount $o /tmp/m 2>/dev/null; then echo \"mounted $o\"; umount /tmp/m; fi; done\n" +
			"if mount -o remount,rw /proc/sys 2>/dev/null; then echo 'made /proc/sys writable'; fi\nif umount /proc 2>/dev/null; then echo 'unmounted /proc'; fi"},
		{"makes devices", fmt.Sprintf("rm -f /tmp/disk /tmp/mem; mknod /tmp/disk b %d %d 2>/dev/null; mknod /tmp/mem c 1 1 2>/dev/null\n", major, minor) +
			"if dd if=/tmp/disk of=/dev/null bs=512 count=1 2>/dev/null; then echo 'read the disk of the host'; fi\nif dd if=/tmp/mem of=/dev/null bs=1 count=1 2>/dev/null; then echo 'read memory'; fi\n" +
			"for f in /dev/kmsg /dev/mem /dev/sda /dev/vda /dev/kvm /dev/fuse /dev/loop-control; do if [ -e $f ] && head -c 1 $f >/dev/null 2>&1; then echo \"opened $f\"; fi; done; rm -f /tmp/disk /tmp/mem"},
		// What there is is written again: nothing changes if it is possible.
		{"changes the kernel", "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/overcommit_memory /sys/kernel/uevent_helper /sys/kernel/mm/transparent_hugepage/enabled; do\n" +
			"if [ -e $f ] && v=$(head -c 200 $f 2>/dev/null) && echo \"$v\" 2>/dev/null >$f; then echo \"wrote $f\"; fi; done 2>/dev/null\n" +
			"if echo h 2>/dev/null >/proc/sysrq-trigger; then echo 'wrote sysrq-trigger'; fi 2>/dev/null\nfor f in /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent; do if [ -e $f ] && [ -w $f ] && echo >>$f; then echo \"wrote $f\"; fi; done 2>/dev/null\n" +
			"if unshare -m true 2>/dev/null; then echo 'has a mount namespace of its own'; fi"},
	}
}

// reaching tries what a build must not reach.
func reaching(t *testing.T, d *daemon) string {
	t.Helper()
	targets := []string{"169.254.169.254:80", "1.1.1.1:53", d.addr, d.registry}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(d.addr)
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && !ip.IP.IsLoopback() {
			targets = append(targets, net.JoinHostPort(ip.IP.String(), port), net.JoinHostPort(ip.IP.String(), "22"))
		}
	}
	var b strings.Builder
	for _, at := range targets {
		host, port, _ := net.SplitHostPort(at)
		fmt.Fprintf(&b, "if echo | nc -w 2 %s %s >/dev/null 2>&1; then echo 'reached %s'; fi\n", host, port, at)
		fmt.Fprintf(&b, "if bash -c 'exec 3<>/dev/tcp/%s/%s' 2>/dev/null; then echo 'reached %s'; fi\n", host, port, at)
	}
	b.WriteString("if wget -q -T 2 -O /dev/null http://169.254.169.254/latest/meta-data/ 2>/dev/null; then echo 'read metadata'; fi\n")
	return b.String()
}

// attacked is a service with secrets.
func attacked(t *testing.T, flags ...string) *daemon {
	t.Helper()
	docker := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte("anna:" + registryPassword))
	if err := os.WriteFile(filepath.Join(docker, "config.json"), []byte(`{"auths":{"registry.example":{"auth":"`+auth+`"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return startDaemon(t, daemonOptions{Flags: flags, Env: []string{"ATTACKED_SECRET=" + environmentSecret, "DOCKER_CONFIG=" + docker}})
}

// TestLineServiceFAttacks: a recipe that is written to attack does not succeed.
func TestLineServiceFAttacks(t *testing.T) {
	d := attacked(t)
	repelled := 0
	list := attacks(t, d)
	for i, a := range list {
		t.Run(a.name, func(t *testing.T) {
			name := fmt.Sprintf("attack-%d", i)
			if b := d.wait(d.submit(maker, uploaded(t, tool(name, [3]string{a.name, a.script + "\necho done", "done\n"})))[0].ID, 5*time.Minute); b.Status != service.Succeeded {
				t.Errorf("in a test: %s in stage %q: %s", b.Status, b.Stage, b.Error)
			}
			if rig.Full {
				step := "found=$(exec 2>/dev/null\n" + a.script + "\n:)\nif [ -n \"$found\" ]; then echo \"$found\"; exit 1; fi\necho done >$DESTDIR/result"
				if b := d.wait(d.submit(maker, uploaded(t, script(name+"-step", step)))[0].ID, 10*time.Minute); b.Status != service.Succeeded {
					t.Errorf("in a step: %s in stage %q: %s\n%s", b.Status, b.Stage, b.Error, rig.Tail(d.artefact(b.ID, service.LogArtefact), 10))
				}
			}
			if !t.Failed() {
				repelled++
			}
		})
	}
	figure(t, "F, attacks of recipes", fmt.Sprintf("%d of %d repelled", repelled, len(list)), "all", repelled == len(list))
	d.alive()
}

// TestLineServiceFSecrets: what the service knows is not in what is kept of a
// build that prints it.
func TestLineServiceFSecrets(t *testing.T) {
	d := attacked(t)
	say := fmt.Sprintf("echo the secret is %s; echo and %s >&2", environmentSecret, registryPassword)
	b := d.wait(d.submit(maker, uploaded(t, tool("gossip", [3]string{"gossips", say, "nothing\n"})))[0].ID, 5*time.Minute)
	if b.Status != service.Failed {
		t.Fatalf("the build is %s: %s", b.Status, b.Error)
	}
	whole := &follower{d: d, build: b.ID}
	whole.run(t.Context())
	events, err := json.Marshal(whole.events)
	if err != nil {
		t.Fatal(err)
	}
	row, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	kept := map[string]string{"the build": string(row), "its events": string(events), "its log": d.artefact(b.ID, service.LogArtefact), "what the service said": d.said(10000)}
	if a := d.call(reader, http.MethodGet, fmt.Sprintf("%s/builds/%d/artefacts/report", api, b.ID), nil); a.status == http.StatusOK {
		kept["its report"] = string(a.body)
	}
	hidden := 0
	for what, text := range kept {
		for _, secret := range []string{environmentSecret, registryPassword} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has a secret: %q", what, text[:min(len(text), 500)])
			}
		}
		hidden += strings.Count(text, "***")
	}
	figure(t, "F, secrets that a recipe prints", fmt.Sprintf("hidden %d times", hidden), "never shown", !t.Failed() && hidden > 0)
}

// TestLineServiceFDisk: who fills the disk is stopped before it is full.
func TestLineServiceFDisk(t *testing.T) {
	probe := newDaemon(t, daemonOptions{})
	var fs syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(probe.tokenFile), &fs); err != nil {
		t.Fatal(err)
	}
	floor := int64(fs.Bavail)*int64(fs.Bsize) - int64(count(1500, 500))<<20
	if floor < 100<<20 {
		t.Fatal("the disk of the tests is full: free 2 GB")
	}
	d := attacked(t, "--disk-floor", fmt.Sprint(floor))
	text := tool("filler", [3]string{"fills the disk", "cat /dev/zero >/tmp/zero 2>/dev/null || cat /dev/zero >/zero; echo filled", "nothing\n"})
	begin := time.Now()
	b := d.wait(d.submit(maker, uploaded(t, text))[0].ID, 5*time.Minute)
	var state service.State
	d.get(api+"/state", &state)
	figure(t, "F, a recipe that fills the disk", fmt.Sprintf("%s after %s: %.250s", b.Status, time.Since(begin).Round(time.Second), b.Error), "ended at the floor, with a reason",
		b.Status == service.Failed && strings.Contains(b.Error, "free"))
	end := time.Now().Add(time.Minute)
	for d.get(api+"/state", &state); state.FreeBytes < state.FloorBytes; d.get(api+"/state", &state) {
		if time.Now().After(end) {
			t.Fatalf("a minute later %d bytes are free, below the floor of %d", state.FreeBytes, state.FloorBytes)
		}
		time.Sleep(time.Second)
	}
	d.succeed(d.submit(maker, uploaded(t, plain("next", "the next one")))[0].ID, time.Minute)
}

// TestLineServiceFForks: who forks without end has so many processes, and ends.
func TestLineServiceFForks(t *testing.T) {
	d := attacked(t)
	text := strings.ReplaceAll(tool("forker", [3]string{"forks", "f() { f & f & wait; }; f", "nothing\n"}), "timeout = \"120s\"", fmt.Sprintf("timeout = \"%ds\"", count(20, 8)))
	before := processes()
	b := d.submit(maker, uploaded(t, text))[0]
	most, slowest := 0, time.Duration(0)
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		begin := time.Now()
		now := d.build(b.ID)
		slowest = max(slowest, time.Since(begin))
		most = max(most, processes()-before)
		if now.Status.Final() {
			b = now
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the build is %s (stage %q) after five minutes, with %d processes", now.Status, now.Stage, processes()-before)
		}
	}
	limit := max(4096, 512*runtime.NumCPU()) + 100
	figure(t, "F, a recipe that forks", fmt.Sprintf("%s, %d processes at most", b.Status, most), fmt.Sprintf("failed, %d", limit), b.Status == service.Failed && most < limit)
	timing(t, "F, an API read while a recipe forks", slowest, 5*time.Second)
	rig.WaitFor(t, 30*time.Second, "the end of the processes", func() bool { return processes()-before < 100 })
	d.succeed(d.submit(maker, uploaded(t, plain("next", "the next one")))[0].ID, time.Minute)
}

// processes counts those of the machine.
func processes() int {
	all, _ := filepath.Glob("/proc/[0-9]*")
	return len(all)
}

// TestLineServiceFUploads: no upload reaches beside its tree, or is too much for
// the service.
func TestLineServiceFUploads(t *testing.T) {
	d := attacked(t)
	good := plain("upload", "text")
	tree := func(text string, more ...service.File) service.Submission {
		files := append([]service.File{{Path: "upload.toml", Content: []byte(text)}}, more...)
		return service.Submission{Upload: &service.Upload{Recipes: []string{"upload.toml"}, Files: files}}
	}
	named := func(path string) service.Submission {
		return tree(good, service.File{Path: path, Content: []byte("x")})
	}
	from := func(path string) service.Submission {
		return tree(head("upload") + fmt.Sprintf("[image]\nbase = \"scratch\"\n[[image.file]]\npath = \"/got\"\nfrom = %q\n", path))
	}
	many := tree(good)
	for i := range 50000 {
		many.Upload.Files = append(many.Upload.Files, service.File{Path: fmt.Sprintf("d%d/f%d", i%100, i)})
	}
	git := func(url string) service.Submission { return service.Submission{Git: &service.Git{URL: url}} }
	for name, body := range map[string]any{
		"a path above":                    named("../x"),
		"a path above, further in":        named("a/../../x"),
		"an absolute path":                named("/etc/x"),
		"a path with a backslash":         named("..\\x"),
		"a path with a zero":              named("a\x00b"),
		"an empty path":                   named(""),
		"a path that is the root":         named("."),
		"the same path twice":             named("upload.toml"),
		"a file that is a directory, too": tree(good, service.File{Path: "a"}, service.File{Path: "a/b"}),
		"a recipe that is not there":      service.Submission{Upload: &service.Upload{Recipes: []string{"../upload.toml"}, Files: tree(good).Upload.Files}},
		"a file of the host":              from("/etc/shadow"),
		"a file of the host, by a path":   from("../../../../../../etc/shadow"),
		"a source directory of the host":  tree(head("upload") + "[source.x]\ndir = \"../..\"\n[build]\ntemplate = \"script\"\nsteps.install = \"cp -r . $DESTDIR/\"\n[image]\nbase = \"scratch\"\n"),
		"a git repository of the host":    git("file://" + d.state),
		"a path as git repository":        git(d.state),
		"a command as git repository":     git("ext::sh -c id"),
		"an option as git repository":     git("--upload-pack=id"),
		"an option as host of one":        git("ssh://-oProxyCommand=id/x"),
		"too many files":                  many,
		"a large file":                    tree(good, service.File{Path: "large", Content: make([]byte, 48<<20)}),
		"a large recipe":                  tree(good + "#" + strings.Repeat("x", 8<<20)),
		"arrays in arrays":                []byte(`{"upload":` + strings.Repeat("[", 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			a := d.call(maker, http.MethodPost, api+"/builds", body)
			if a.status < 400 || a.status >= 500 {
				t.Errorf("got %s", a)
			}
		})
	}
	t.Run("a link", func(t *testing.T) { uploadsLink(t, d) })
	t.Run("packed zeroes", func(t *testing.T) {
		req := d.request(t.Context(), maker, http.MethodPost, api+"/builds", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"))
		req.Header.Set("Content-Encoding", "gzip")
		if a := d.send(req); a.status < 400 || a.status >= 500 {
			t.Errorf("got %s", a)
		}
	})
	if _, err := os.Stat(filepath.Join(d.state, "x")); err == nil {
		t.Error("an upload made a file beside its tree")
	}
	peak := d.memory("VmHWM")
	figure(t, "F, hostile uploads", fmt.Sprintf("refused, %d MB at most", peak), fmt.Sprintf("all refused, %d MB", memoryLimit), !t.Failed() && peak > 0 && peak < memoryLimit)
	d.alive()
}

// uploadsLink sends a file whose mode says that it is a symbolic link: it is
// refused, or a file with that text.
func uploadsLink(t *testing.T, d *daemon) {
	text := head("link") + "[image]\nbase = \"scratch\"\n[[image.file]]\npath = \"/got\"\nfrom = \"link\"\n[[test]]\nname = \"is a text\"\nfile = { path = \"/got\", equals = \"/etc/shadow\" }\n"
	file := service.File{Path: "link", Mode: 0o120777, Content: []byte("/etc/shadow")}
	s := service.Submission{Upload: &service.Upload{Recipes: []string{"link.toml"}, Files: []service.File{{Path: "link.toml", Content: []byte(text)}, file}}}
	a := d.call(maker, http.MethodPost, api+"/builds", s)
	if a.status >= 400 && a.status < 500 {
		return
	}
	builds, err := readBuilds(a.body)
	if err != nil {
		t.Fatalf("%v: %s", err, a)
	}
	if b := d.wait(builds[0].ID, time.Minute); b.Status != service.Succeeded && !strings.Contains(b.Error, "lock") {
		t.Errorf("%s: %s", b.Status, b.Error)
	}
}
