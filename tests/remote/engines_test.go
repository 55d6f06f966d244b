package remote

import (
	"fmt"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// kind is a way to reach an engine.
type kind struct {
	name string
	open func(t *testing.T) (url string, env, flags []string)
}

func kinds() []kind {
	return append(containerKinds(), []kind{
		{"unix", func(t *testing.T) (string, []string, []string) { return serve(t).url(), nil, nil }},
		{"tcp with TLS of both sides", func(t *testing.T) (string, []string, []string) {
			a := newAuthority(t)
			return serveTLS(t, a.issue(a)), nil, []string{"--engine-tls", a.issue(a)}
		}},
		{"ssh to a buildctl", func(t *testing.T) (string, []string, []string) {
			h := newHost(t, "buildctl")
			return h.url(serve(t).socket), []string{"PATH=" + h.path}, nil
		}},
		{"ssh to this program", func(t *testing.T) (string, []string, []string) {
			h := newHost(t, "riscv-build")
			return h.url(serve(t).socket), []string{"PATH=" + h.path}, nil
		}},
	}...)
}

// TestEngines builds with every kind of engine what the embedded one built.
func TestEngines(t *testing.T) {
	c := newClient(t)
	here := c.build(t, "pause")
	c.build(t, c.recipe("web"))
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			url, env, flags := k.open(t)
			there := c.with(append(env, "RISCV_BUILD_ENGINE="+url)...)
			build := func(args ...string) built { return there.build(t, append(args, flags...)...) }

			first := build("pause", "--no-cache")
			if first.Digest != here.Digest || first.Mode != here.Mode || first.Engine == here.Engine {
				t.Errorf("built %+v there, %+v here", first, here)
			}
			again := build("pause", "--no-cache")
			if again.Digest != here.Digest || again.sent > 100_000 || again.received > 2_000_000 {
				t.Errorf("once more: %+v: layers that are there were sent again", again)
			}
			web := build(c.recipe("web"), "--no-cache")
			for _, test := range web.Tests {
				if !test.OK || test.Cached {
					t.Errorf("test %+v", test)
				}
			}
			unchanged(t, c, build)
		})
	}
}

// unchanged compares the second build of what did not change with the embedded
// engine's.
func unchanged(t *testing.T, c *client, build func(...string) built) {
	t.Helper()
	here, there := time.Hour, time.Hour
	var sent, received int64
	for range 3 {
		here = min(here, c.build(t, "pause").took)
		b := build("pause")
		there = min(there, b.took)
		sent, received = b.sent, b.received
		if !b.Cached || sent == 0 {
			t.Errorf("nothing changed, and it is %+v", b)
		}
	}
	const limitBytes, limitTime = 100_000, 300 * time.Millisecond
	rig.Figure{Line: "C", Got: fmt.Sprintf("%s: %d bytes sent, %d received", t.Name(), sent, received), Limit: fmt.Sprint(limitBytes), OK: sent <= limitBytes && received <= limitBytes}.Report(t)
	rig.Figure{Line: "C", Got: fmt.Sprintf("%s: %v more than embedded", t.Name(), there-here), Limit: limitTime.String(), OK: there-here <= limitTime, Timing: true}.Report(t)
}
