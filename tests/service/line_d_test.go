package service

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
)

// TestLineServiceD: many follow a build that prints much, and some of them do
// not read. Everybody else gets each line once, in order, and without waiting.
func TestLineServiceD(t *testing.T) {
	lines, all, stalled := count(20000, 5000), count(200, 50), count(20, 5)
	d := startDaemon(t, daemonOptions{State: tooled()})
	text := fmt.Sprintf("sleep 2; i=0; while [ $i -lt %d ]; do i=$((i+1)); echo \"number $i of the lines that everybody gets\"; done; sleep 1; echo done >$DESTDIR/result", lines)
	b := d.submit(maker, uploaded(t, script("talker", text)))[0]
	for range stalled {
		d.stall(b.ID)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	listeners := make([]*listener, all)
	for i := range listeners {
		l := &listener{follower: follower{d: d, build: b.ID}}
		l.each = l.hear
		listeners[i] = l
		wg.Go(func() { l.run(ctx) })
	}
	wg.Wait()
	built := d.succeed(b.ID, time.Minute)
	var late []time.Duration
	good := 0
	for i, l := range listeners {
		late = append(late, l.ended.Sub(*built.Ended))
		if l.heard == lines && len(l.problems) == 0 {
			good++
			continue
		}
		t.Errorf("follower %d heard %d lines of %d: %s", i, l.heard, lines, strings.Join(l.problems[:min(3, len(l.problems))], "\n"))
	}
	figure(t, "D, followers", fmt.Sprintf("%d of %d heard %d lines once, in order, beside %d that do not read", good, all, lines, stalled), "all", good == all)
	timing(t, "D, the last follower's end after the build's", slices.Max(late), 2*time.Second)
	peak := d.memory("VmHWM")
	figure(t, "D, memory", fmt.Sprintf("%d MB at most", peak), fmt.Sprintf("%d MB", memoryLimit), peak > 0 && peak < memoryLimit)
	whole := d.artefact(b.ID, service.LogArtefact)
	if n := strings.Count(whole, "of the lines that everybody gets"); n < lines {
		t.Errorf("the log has %d of %d lines", n, lines)
	}
	d.alive()
}

// listener is a follower that counts lines.
type listener struct {
	follower
	heard int
	rest  string // of a line that is not whole
}

func (l *listener) hear(e service.Event) error {
	var said service.LogData
	if e.Kind != service.LogEvent {
		return nil
	}
	if err := json.Unmarshal(e.Data, &said); err != nil {
		return err
	}
	all := strings.Split(l.rest+said.Text, "\n")
	l.rest = all[len(all)-1]
	for _, line := range all[:len(all)-1] {
		if !strings.HasSuffix(line, "of the lines that everybody gets") {
			continue
		}
		l.heard++
		if want := fmt.Sprintf("number %d of the lines that everybody gets", l.heard); line != want {
			return fmt.Errorf("%q comes where %q should", line, want)
		}
	}
	return nil
}

// stall follows a build and reads nothing.
func (d *daemon) stall(id int64) {
	d.t.Helper()
	conn, err := net.DialTimeout("tcp", d.addr, 5*time.Second)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := io.WriteString(conn, fmt.Sprintf("GET %s/builds/%d/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", api, id, d.addr, d.tokens[reader])); err != nil {
		d.t.Fatal(err)
	}
}
