package board

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/board/boardrig"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// finding and diagnosis are what `doctor --json` prints.
type finding struct {
	Name                     string
	OK                       bool
	Severity, What, Why, Fix string
}

type diagnosis struct {
	OK       bool
	Findings []finding
	Fixed    []string
	Left     string
	code     int
}

// diagnosisOf reads the document, and holds its parts against each other.
func diagnosisOf(t *testing.T, r rig.Result) diagnosis {
	t.Helper()
	d := diagnosis{code: r.Code}
	if err := json.Unmarshal([]byte(r.Stdout), &d); err != nil {
		t.Fatalf("doctor: exit code %d, %v\n%s\n%s", r.Code, err, r.Stdout, r.Stderr)
	}
	if want := map[bool]int{true: 0, false: 3}[d.OK]; r.Code != want {
		t.Errorf("doctor: ok is %v, and the exit code %d", d.OK, r.Code)
	}
	for _, f := range d.Findings {
		if !f.OK && (f.What == "" || f.Why == "" || f.Fix == "") {
			t.Errorf("a finding that says not all: %+v", f)
		}
	}
	return d
}

// bad names what is not ok.
func (d diagnosis) bad() []string {
	names := []string{}
	for _, f := range d.Findings {
		if !f.OK {
			names = append(names, f.Name)
		}
	}
	return names
}

// of gives the finding of a name.
func (d diagnosis) of(name string) finding {
	i := slices.IndexFunc(d.Findings, func(f finding) bool { return f.Name == name })
	if i < 0 {
		return finding{Name: name, What: "(no such finding)"}
	}
	return d.Findings[i]
}

// tally counts the cases of the line.
type tally struct{ named, cases, mended, mendable int }

// names holds that exactly the given things are not ok, the first of which says
// something, with the exit code.
func (c *tally) names(t *testing.T, d diagnosis, what string, code int, bad ...string) {
	t.Helper()
	c.cases++
	slices.Sort(bad)
	got := d.bad()
	slices.Sort(got)
	said := slices.ContainsFunc(d.Findings, func(f finding) bool { return !f.OK && strings.Contains(f.What+" "+f.Fix, what) })
	if !slices.Equal(got, bad) || !said || d.code != code {
		t.Errorf("doctor names %q, exit code %d; it should name %q, exit code %d, and say %q: %s", got, d.code, bad, code, what, d.problems())
		return
	}
	c.named++
}

// mends holds that --fix said what it did, and left exactly the given things.
func (c *tally) mends(t *testing.T, d diagnosis, did string, left ...string) {
	t.Helper()
	c.mendable++
	if got := d.bad(); !slices.Equal(got, append([]string{}, left...)) || !strings.Contains(strings.Join(d.Fixed, "\n"), did) {
		t.Errorf("after --fix doctor names %q, not %q; it did %q, which should say %q: %s", got, left, d.Fixed, did, d.problems())
		return
	}
	c.mended++
}

func (d diagnosis) problems() string {
	var lines []string
	for _, f := range d.Findings {
		if !f.OK {
			lines = append(lines, fmt.Sprintf("\n  %s %s: %s (fix: %s)", f.Severity, f.Name, f.What, f.Fix))
		}
	}
	return strings.Join(lines, "")
}

func (c *tally) report(t *testing.T, where string) {
	t.Helper()
	rig.Figure{
		Line: "board E", Got: fmt.Sprintf("%s: %d of %d faults named exactly, %d of %d mended", where, c.named, c.cases, c.mended, c.mendable),
		Limit: "all", OK: c.named == c.cases && c.mended == c.mendable,
	}.Report(t)
}

// doctorOn runs doctor on a board.
func doctorOn(t *testing.T, b *boardrig.Board, args string) diagnosis {
	t.Helper()
	return diagnosisOf(t, b.Exec("riscv-build doctor --json "+args))
}

// TestLineBoardE: a good board is all green, and each fault is named, alone.
func TestLineBoardE(t *testing.T) {
	suites := []string{boardrig.Stable}
	if rig.Full {
		suites = append(suites, boardrig.Forky)
	}
	for _, suite := range suites {
		t.Run(suite, func(t *testing.T) { faultsOf(t, boardrig.Shared(t, suite)) })
	}
}

func faultsOf(t *testing.T, b *boardrig.Board) {
	c := &tally{}
	good := doctorOn(t, b, "--state-dir /root/line-e")
	if bad := good.bad(); len(bad) > 0 || good.code != 0 {
		t.Fatalf("a good board: exit code %d: %s", good.code, good.problems())
	}
	for _, f := range good.Findings {
		t.Logf("%-18s %s", f.Name, f.What)
	}
	t.Run("no containerd", func(t *testing.T) { noContainerd(t, b, c) })
	t.Run("full disk", func(t *testing.T) {
		b.Must("mkdir -p /mnt/full && mount -t tmpfs -o size=8m,nr_inodes=400k full /mnt/full && ! cat /dev/zero 2>/dev/null >/mnt/full/fill")
		defer b.Must("umount /mnt/full")
		d := doctorOn(t, b, "--state-dir /mnt/full/state")
		c.names(t, d, "/mnt/full", 3, "disk space")
	})
	t.Run("unreachable mirror", func(t *testing.T) {
		d := doctorOn(t, b, "--state-dir /root/line-e --mirror http://"+boardrig.Host+":1/debian")
		c.names(t, d, boardrig.Host+":1", 3, "mirror")
	})
	t.Run("HTTP registry", func(t *testing.T) { httpRegistry(t, b, c) })
	t.Run("clock in 1970", func(t *testing.T) {
		b.Must("date -u -s '1970-01-02 03:00'") // Linux refuses a time before its start
		defer func() { b.Must("date -u -s '" + time.Now().UTC().Format(time.DateTime) + "'") }()
		c.names(t, doctorOn(t, b, "--state-dir /root/line-e"), "1970-01-02 03:0", 3, "clock")
		c.mends(t, doctorOn(t, b, "--state-dir /root/line-e --fix"), "set the clock to")
		if got := b.Must("date -u +%Y-%m-%d").Stdout; strings.TrimSpace(got) != time.Now().UTC().Format(time.DateOnly) {
			t.Errorf("the clock was set to %s", got)
		}
	})
	c.report(t, "on a board, "+good.of("containerd").What)
}

// noContainerd stops containerd, and starts it again as the board does.
func noContainerd(t *testing.T, b *boardrig.Board, c *tally) {
	b.Must("kill $(pidof containerd); while pidof containerd >/dev/null; do sleep 0.1; done")
	defer b.Must("containerd >>/var/log/containerd.log 2>&1 & until ctr version >/dev/null 2>&1; do sleep 0.2; done")
	d := doctorOn(t, b, "--state-dir /root/line-e")
	c.names(t, d, "systemctl start containerd", 0, "containerd")
	d = doctorOn(t, b, "--state-dir /root/line-e --fix")
	if len(d.Fixed) > 0 || !strings.Contains(d.Left, `mending "containerd": that is left to you`) {
		t.Errorf("--fix did %q, and left %q", d.Fixed, d.Left)
	}
	d = doctorOn(t, b, "--state-dir /root/line-e --containerd /run/containerd/containerd.sock")
	c.names(t, d, "--containerd", 3, "containerd")
	if d = doctorOn(t, b, "--state-dir /root/line-e --containerd none"); len(d.bad()) > 0 || d.code != 0 {
		t.Errorf("without wanting one: %s", d.problems())
	}
}

// httpRegistry names a registry of the host that the board's containerd does
// not know.
func httpRegistry(t *testing.T, b *boardrig.Board, c *tally) {
	port := rig.FreePort(t)
	rig.Start(t, rig.Binary, "registry", "serve", "--addr", fmt.Sprintf("127.0.0.1:%d", port), "--root", t.TempDir())
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/v2/", port))
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	args := fmt.Sprintf("--state-dir /root/line-e --registry http://%s:%d", boardrig.Host, port)
	b.Must("cp -a /etc/containerd /root/containerd.kept")
	defer b.Must("rm -rf /etc/containerd && mv /root/containerd.kept /etc/containerd")
	c.names(t, doctorOn(t, b, args), "HTTP registry not configured: containerd", 0, "registry clients")
	c.mends(t, doctorOn(t, b, args+" --fix"), fmt.Sprintf("/%s:%d/hosts.toml", boardrig.Host, port))
	if d := doctorOn(t, b, args); d.of("registry clients").What != "configured: containerd" {
		t.Errorf("configured: %+v", d.of("registry clients"))
	}
	gone := fmt.Sprintf("--state-dir /root/line-e --registry http://%s:1", boardrig.Host)
	c.names(t, doctorOn(t, b, gone), "nothing listens there", 0, "registry")
}

// TestLineBoardEBoot: faults that a board has from its start: a kernel without the
// memory controller, a clock without a battery. Then K3s comes to it.
func TestLineBoardEBoot(t *testing.T) {
	b := boardrig.Start(t, boardrig.Options{Kernel: "cgroup_disable=memory", QEMU: "-rtc base=1970-01-01"})
	c := &tally{}
	const args = "--state-dir /root/line-e"
	d := doctorOn(t, b, args)
	c.names(t, d, "the clock says 1970-01-01", 3, "clock", "memory controller")
	c.mends(t, doctorOn(t, b, args+" --fix"), "set the clock to", "memory controller")
	d = doctorOn(t, b, args)
	c.names(t, d, `"cgroup_disable=memory" on the kernel's command line`, 0, "memory controller")
	if fix := d.of("memory controller").Fix; !strings.Contains(fix, "cgroup_enable=memory cgroup_memory=1") {
		t.Errorf("no remedy: %q", fix)
	}

	// One directory for both sockets: to the program this is K3s's containerd.
	b.Must("mkdir -p /run/k3s && ln -s /run/containerd /run/k3s/containerd && echo 0 >/proc/sys/net/ipv4/ip_forward")
	d = doctorOn(t, b, args+" --containerd /run/k3s/containerd/containerd.sock")
	c.names(t, d, "not loaded: vxlan", 0, "memory controller", "vxlan", "br_netfilter", "netfilter", "IP forwarding")
	if what := d.of("containerd").What; !strings.Contains(what, "(K3s)") {
		t.Errorf("K3s's socket: %q", what)
	}
	c.mends(t, doctorOn(t, b, args+" --fix"), "loaded vxlan", "memory controller")
	b.Must("ip link add line-e type vxlan id 7 dstport 0 dev $(ls /sys/class/net | grep -v lo | head -n 1) && ip link del line-e")

	b.Must("echo -memory -pids >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || echo -pids >/sys/fs/cgroup/cgroup.subtree_control")
	c.names(t, doctorOn(t, b, args), "cgroup.subtree_control", 0, "memory controller", "pids controller")
	c.mends(t, doctorOn(t, b, args+" --fix"), "enabled the pids controller", "memory controller")
	c.report(t, "from the boot on")
}

// TestLineBoardEPC: on a PC riscv64 programs need a handler that reaches into
// containers. Since Linux 6.7 a user namespace has handlers of its own, so the
// machine's are not touched; before, they are put back at the end.
func TestLineBoardEPC(t *testing.T) {
	rig.Need(t, "unshare", "util-linux")
	qemu := rig.Need(t, "qemu-riscv64-static", "qemu-user-static")
	archive := startArchive(t)
	out := t.TempDir()
	env := []string{
		"OUT=" + out, "PROGRAM=" + rig.Binary, "INTERPRETER=" + qemu, "STATE=" + filepath.Join(rig.Work, "line-e"),
		"RISCV_BUILD_MIRROR=" + archive + "/debian", "RISCV_BUILD_SECURITY_MIRROR=" + archive + "/debian-security",
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	own := []string{"--user", "--map-root-user", "--mount", "sh", "-euc"}
	if r := rig.Command(ctx, nil, "unshare", append(own, "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc")...); r.Code != 0 {
		t.Logf("this kernel has one set of handlers: %s", r.Stderr)
		own = own[2:]
		t.Cleanup(func() { rig.Run(context.Background(), env, "doctor", "--fix") })
	}
	if r := rig.Command(ctx, env, "unshare", append(own, handlerFaults)...); r.Code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", r.Code, r.Stdout, r.Stderr)
	}
	read := func(name string) diagnosis {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		r := rig.Result{Stdout: string(text)}
		code, err := os.ReadFile(filepath.Join(out, name+".code"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscan(string(code), &r.Code); err != nil {
			t.Fatal(err)
		}
		return diagnosisOf(t, r)
	}
	c := &tally{}
	c.names(t, read("none"), "no binfmt_misc handler runs riscv64 programs", 3, "riscv64 handler")
	c.mends(t, read("none-fixed"), "registered "+qemu)
	c.names(t, read("no-f"), `flags "OC" without F`, 3, "riscv64 handler")
	c.mends(t, read("no-f-fixed"), "removed handler")
	c.names(t, read("no-mount"), "binfmt_misc is not mounted", 3, "binfmt_misc")
	c.mends(t, read("no-mount-fixed"), "mounted binfmt_misc")
	c.report(t, "on a PC")
}

// handlerFaults makes each fault, and has doctor look at it, and mend it.
const handlerFaults = `
at=/proc/sys/fs/binfmt_misc
look() {
	name=$1
	shift
	code=0
	"$PROGRAM" doctor --json --containerd none --state-dir "$STATE" "$@" >"$OUT/$name" || code=$?
	echo $code >"$OUT/$name.code"
}
mount -t binfmt_misc none $at
if [ -e $at/qemu-riscv64 ]; then echo -1 >$at/qemu-riscv64; fi

look none
look none-fixed --fix

echo -1 >$at/qemu-riscv64
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":qemu-riscv64:M::$magic:$mask:$INTERPRETER:OC" >$at/register
look no-f
look no-f-fixed --fix

mount -t tmpfs none $at
look no-mount
look no-mount-fixed --fix
`

// startArchive is a server that has what doctor asks mirrors for.
func startArchive(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("HEAD /debian/dists/stable/InRelease", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("HEAD /debian-security/dists/stable-security/InRelease", func(http.ResponseWriter, *http.Request) {})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
