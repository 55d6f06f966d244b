package check

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/recipes"
)

const (
	// mountPath is where the probe's image appears; no image has such a path.
	mountPath = "/.riscv-build-probe"

	attemptLimit = 15 * time.Second       // for one connection
	quietLimit   = 2 * time.Second        // after the last byte of an answer that does not satisfy
	retryPause   = 200 * time.Millisecond // between connections
	// settleLimit is for how long a wrong answer is asked for again: a program
	// that is starting may not give its last word first.
	settleLimit = 3 * time.Second

	maxAnswer = 4 << 20
)

// prober connects to the program of a test until it gets the answer that is
// expected, or a wrong one that does not change.
//
// The connection is busybox nc in the container; HTTP is spoken here, on the
// client, so that the container needs no program for it.
type prober struct {
	test  recipes.Test
	first time.Time // of the first complete answer
	wrong string    // what is wrong with the last answer; "" with none or the right one
	last  error     // why there was no answer
	ok    bool
}

func newProber(t recipes.Test) *prober {
	if t.HTTP != nil {
		h := *t.HTTP
		h.Path, h.Method, h.Status = cmp.Or(h.Path, "/"), cmp.Or(h.Method, http.MethodGet), cmp.Or(h.Status, http.StatusOK)
		t.HTTP = &h
	}
	return &prober{test: t}
}

func (p *prober) port() int {
	if p.test.HTTP != nil {
		return p.test.HTTP.Port
	}
	return p.test.TCP.Port
}

// listens says that the test only wants the port to be open. A connection does
// not show that, for nc says nothing; the kernel's table of sockets does.
func (p *prober) listens() bool {
	return p.test.TCP != nil && p.test.TCP.Expect == nil && p.test.TCP.Send == ""
}

// connecting runs a program that takes and gives bytes and may fail, and does
// not fail itself, also when it is told to end: in a BuildKit elsewhere a second
// process that fails ends the container. A shell gives a program in the
// background no input of its own. The mark tells the end of the output: a
// BuildKit before v0.14 does not, as long as the input is open.
const connecting = `exec 3<&0; "$@" <&3 & p=$!; exec <&- 3<&-; trap 'kill -9 $p' TERM; wait $p; printf '` + endMark + `'; exit 0`

const endMark = "[end of the output of the probe of riscv-build]"

func (p *prober) args(busybox string) []string {
	args := []string{busybox, "sh", "-c", connecting, "probe", busybox}
	if p.listens() {
		return append(args, "cat", "/proc/net/tcp", "/proc/net/tcp6")
	}
	return append(args, "nc", "127.0.0.1", strconv.Itoa(p.port()))
}

// attempt drives one probe process (engine.Probe.Attempt). It returns done for
// a wrong answer that has settled too: verdict tells the two apart.
func (p *prober) attempt(ctx context.Context, stdin io.WriteCloser, stdout io.Reader) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	// stdin stays open until the answer is read: many servers take a half
	// closed connection for a client that has gone.
	defer stdin.Close()
	var answered bool
	answered, p.wrong, p.last = p.ask(ctx, stdin, &marked{from: stdout})
	switch {
	case answered && p.wrong == "":
		p.ok = true
		return true, nil
	case answered && p.first.IsZero():
		p.first = time.Now()
	case answered && time.Since(p.first) >= settleLimit:
		return true, nil
	}
	if p.wrong != "" {
		p.last = errors.New(p.wrong)
	}
	select {
	case <-ctx.Done():
	case <-time.After(retryPause):
	}
	return false, p.last
}

// marked reads until the mark.
type marked struct {
	from io.Reader
	buf  []byte // read, and not given yet
	err  error  // of from
}

func (m *marked) Read(b []byte) (int, error) {
	for {
		ready := len(m.buf)
		switch at := bytes.Index(m.buf, []byte(endMark)); {
		case at == 0:
			return 0, io.EOF
		case at > 0:
			ready = at
		case m.err == nil:
			ready -= begun(m.buf)
		case ready == 0:
			return 0, m.err
		}
		if ready > 0 {
			n := copy(b, m.buf[:ready])
			m.buf = m.buf[n:]
			return n, nil
		}
		more := make([]byte, 4<<10)
		n, err := m.from.Read(more)
		m.buf, m.err = append(m.buf, more[:n]...), err
	}
}

// begun is how much of the mark a text may end with.
func begun(text []byte) int {
	for n := min(len(text), len(endMark)-1); n > 0; n-- {
		if bytes.HasSuffix(text, []byte(endMark[:n])) {
			return n
		}
	}
	return 0
}

// ask returns whether an answer came that counts, what is wrong with it, or why
// none came.
func (p *prober) ask(ctx context.Context, stdin io.Writer, stdout io.Reader) (answered bool, wrong string, err error) {
	switch {
	case p.test.HTTP != nil:
		return p.askHTTP(ctx, stdin, stdout)
	case p.listens():
		return p.askSockets(ctx, stdout)
	}
	return p.askTCP(ctx, stdin, stdout)
}

// verdict returns why the probe failed, "" if it did not.
func (p *prober) verdict(result *engine.RunResult) string {
	if p.ok {
		return ""
	}
	why := p.wrong
	if why == "" {
		why = fmt.Sprintf("expected an answer on port %d, none came", p.port())
		if p.last != nil {
			why += " (" + p.last.Error() + ")"
		} else if result.ProbeErr != nil {
			why += " (" + result.ProbeErr.Error() + ")"
		}
	}
	switch {
	case result.TimedOut:
		why += ", until the test's time was over"
	case !result.Probed:
		why += fmt.Sprintf("; the program ended with exit status %d", result.Exit)
	}
	return why
}

func (p *prober) askHTTP(ctx context.Context, stdin io.Writer, stdout io.Reader) (bool, string, error) {
	h := p.test.HTTP
	send(stdin, request(h))
	type answer struct {
		status int
		body   []byte
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		resp, err := http.ReadResponse(bufio.NewReader(stdout), &http.Request{Method: h.Method})
		if err != nil {
			answers <- answer{err: err}
			return
		}
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		answers <- answer{resp.StatusCode, body, errors.Join(err, resp.Body.Close())}
	}()
	select {
	case <-ctx.Done():
		return false, "", fmt.Errorf("waiting for the response: %w", ctx.Err())
	case a := <-answers:
		if errors.Is(a.err, io.EOF) || errors.Is(a.err, io.ErrUnexpectedEOF) {
			return false, "", errors.New("the connection was refused or closed")
		}
		if a.err != nil {
			return false, "", fmt.Errorf("reading the response: %w", a.err)
		}
		if a.status != h.Status {
			wrong := fmt.Sprintf("expected status %d of %s, got %d with the body %s", h.Status, h.Path, a.status, shown(a.body))
			if a.status >= 500 { // not ready, as such programs say: the whole time of the test is given
				return false, wrong, nil
			}
			return true, wrong, nil
		}
		return true, mismatch("the body of "+h.Path, h.Body, a.body), nil
	}
}

// send writes beside the reading: a server may answer before it has read
// everything, or read nothing at all. A connection that takes nothing is seen
// by the reader, as its end.
func send(stdin io.Writer, raw []byte) {
	if len(raw) > 0 {
		go func() { _, _ = stdin.Write(raw) }()
	}
}

// request is an HTTP/1.1 request; headers of the test win over its own.
func request(h *recipes.HTTPProbe) []byte {
	headers := map[string]string{
		"Host": "127.0.0.1:" + strconv.Itoa(h.Port), "User-Agent": "riscv-build", "Accept": "*/*", "Connection": "close",
	}
	for name, value := range h.Headers {
		headers[http.CanonicalHeaderKey(name)] = value
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", h.Method, h.Path)
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		fmt.Fprintf(&b, "%s: %s\r\n", name, headers[name])
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// askTCP sends, then reads until the expectation holds, the connection ends or
// nothing more comes.
func (p *prober) askTCP(ctx context.Context, stdin io.Writer, stdout io.Reader) (bool, string, error) {
	send(stdin, []byte(p.test.TCP.Send))
	stop := make(chan struct{})
	defer close(stop)
	chunks := readChunks(stdout, stop)
	var got []byte
	var quiet <-chan time.Time
	for {
		select {
		case <-ctx.Done():
		case <-quiet:
		case chunk, more := <-chunks:
			got = append(got, chunk...)
			wrong := mismatch("the answer", p.test.TCP.Expect, got)
			if wrong == "" && len(got) > 0 {
				return true, "", nil
			}
			if more && len(got) < maxAnswer {
				quiet = time.After(quietLimit)
				continue
			}
		}
		if len(got) > 0 {
			return true, mismatch("the answer", p.test.TCP.Expect, got), nil
		}
		if err := ctx.Err(); err != nil {
			return false, "", fmt.Errorf("waiting for the answer: %w", err)
		}
		return false, "", errors.New("the connection was refused or closed")
	}
}

// readChunks reads in a goroutine, because a process's output has no deadline;
// it ends with the process, which the engine stops after the attempt.
func readChunks(r io.Reader, stop <-chan struct{}) <-chan []byte {
	chunks := make(chan []byte)
	go func() {
		defer close(chunks)
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 {
				select {
				case chunks <- bytes.Clone(buf[:n]):
				case <-stop:
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return chunks
}

// askSockets looks for the port among the listening sockets.
func (p *prober) askSockets(ctx context.Context, stdout io.Reader) (bool, string, error) {
	stop := make(chan struct{})
	defer close(stop)
	chunks := readChunks(stdout, stop)
	var table []byte
	for {
		select {
		case <-ctx.Done():
			return false, "", fmt.Errorf("reading the table of sockets: %w", ctx.Err())
		case chunk, more := <-chunks:
			if table = append(table, chunk...); more {
				continue
			}
		}
		if listening(table, p.port()) {
			return true, "", nil
		}
		return false, "", fmt.Errorf("nothing listens on port %d", p.port())
	}
}

// listening reads /proc/net/tcp (proc_net_tcp.txt of the kernel): the second
// field ends in the local port in hex, the fourth is the state, 0A for listening.
func listening(table []byte, port int) bool {
	const listen = "0A"
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[3] != listen {
			continue
		}
		_, text, ok := strings.Cut(fields[1], ":")
		raw, err := hex.DecodeString(text)
		if ok && err == nil && len(raw) == 2 && int(raw[0])<<8|int(raw[1]) == port {
			return true
		}
	}
	return false
}
