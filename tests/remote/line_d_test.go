package remote

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// slowLink is a network of a rate and a delay between a client in a namespace of
// its own and an engine. The kernel limits the rate in both directions; the delay
// is the relay's, for not every kernel has one.
type slowLink struct {
	namespace
	relay
	delay time.Duration
}

func newSlowLink(t *testing.T, rate string, delay time.Duration) *slowLink {
	t.Helper()
	rig.Need(t, "tc", "iproute2")
	l := &slowLink{namespace: newNamespace(t), delay: delay}
	limit := []string{"root", "tbf", "rate", rate, "burst", "32k", "latency", "500ms"}
	l.must("tc", append([]string{"qdisc", "add", "dev", l.device}, limit...)...)
	l.inside("tc", append([]string{"qdisc", "add", "dev", l.far}, limit...)...)
	l.relay = relay{listener: l.listen(), network: "tcp", pipe: l.late}
	return l
}

// address is where the client finds the server.
func (l *slowLink) address() string { return l.listener.Addr().String() }

// late hands every piece on after the delay, in its order.
func (l *slowLink) late(to, from net.Conn) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer to.Close()
		for p := range pieces {
			time.Sleep(time.Until(p.due))
			if _, err := to.Write(p.data); err != nil {
				from.Close()
			}
		}
	}()
	defer close(pieces)
	for {
		buf := make([]byte, 64<<10)
		n, err := from.Read(buf)
		if n > 0 {
			pieces <- piece{buf[:n], time.Now().Add(l.delay)}
		}
		if err != nil {
			return
		}
	}
}

// sent is the number of bytes that came from the client, with all headers.
func (l *slowLink) sent() int64 {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join("/sys/class/net", l.device, "statistics/rx_bytes"))
	if err != nil {
		l.t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

// blobs gives the sizes of what an engine needs for an image: the layers that its
// graph loads, sources among them, and its own, which are tested.
func (c *client) blobs(t *testing.T, recipe string) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	r := c.run("graph", "--format", "json", "--offline", recipe)
	if r.Code != 0 {
		t.Fatalf("the graph of %s: %s", recipe, r.Stderr)
	}
	var vertices []struct{ Source string }
	if err := json.Unmarshal([]byte(r.Stdout), &vertices); err != nil {
		t.Fatalf("reading the graph of %s: %v", recipe, err)
	}
	for _, v := range vertices {
		if _, digest, ok := strings.Cut(v.Source, "@"); ok {
			c.layers(t, digest, all)
		}
	}
	c.layers(t, c.build(t, recipe).Digest, all)
	return all
}

func (c *client) layers(t *testing.T, digest string, all map[string]int64) {
	t.Helper()
	var m ocispec.Manifest
	c.read(t, digest, &m)
	for _, l := range m.Layers {
		all[l.Digest.String()] = l.Size
	}
}

// TestLineEngineD: over a slow link an engine is sent what a recipe needs once,
// and for the next recipe what is new.
func TestLineEngineD(t *testing.T) {
	c := newClient(t)
	rate, delay, recipes := "100mbit", 5*time.Millisecond, []string{c.recipe("one"), c.recipe("other")}
	if rig.Full {
		rate, delay, recipes = "10mbit", 25*time.Millisecond, []string{"redis", "nginx"}
	}
	var needs []map[string]int64
	for _, r := range recipes { // everything is there, so that only the engine is missing something
		c.build(t, r)
		needs = append(needs, c.blobs(t, r))
	}
	a := newAuthority(t)
	l := newSlowLink(t, rate, delay)
	l.to = strings.TrimPrefix(serveTLS(t, a.issue(a, net.ParseIP(l.server))), "tcp://")
	go l.serve()
	there := c.within(l.enter()...).with("RISCV_BUILD_ENGINE=tcp://"+l.address(), "RISCV_BUILD_ENGINE_TLS="+a.issue(a))
	had := map[string]bool{}
	for i, r := range recipes {
		var want int64
		for digest, size := range needs[i] {
			if !had[digest] {
				want += size
			}
			had[digest] = true
		}
		before := l.sent()
		b := there.build(t, r, "--no-cache", "--offline")
		sent := l.sent() - before
		limit := want * 11 / 10
		if i > 0 {
			limit += 100_000 // what is asked, where little is new
		}
		rig.Figure{
			Line: "engine D", Got: fmt.Sprintf("%s at %s and %v: %.1f MB over the link for %.1f MB of blobs, %.0f s", r, rate, 2*delay, mb(sent), mb(want), b.took.Seconds()),
			Limit: fmt.Sprintf("%.1f MB", mb(limit)), OK: sent <= limit,
		}.Report(t)
	}
}

func mb(n int64) float64 { return float64(n) / 1e6 }
