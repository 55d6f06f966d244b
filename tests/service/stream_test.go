package service

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
)

// follower follows the events of a build as a browser does: when the
// connection breaks it comes back with the id of the last event that it saw.
type follower struct {
	d     *daemon
	build int64
	each  func(service.Event) error // nil: events are kept

	events   []service.Event
	last     int64 // seq
	resumed  int   // how often it came back
	ended    time.Time
	problems []string
}

// run follows until the last event, or until ctx ends.
func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil && f.ended.IsZero() && len(f.problems) < 10 {
		err := f.connect(ctx)
		if f.ended.IsZero() && err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
			f.resumed++
		}
	}
	if f.ended.IsZero() {
		f.problem("the stream of build %d did not come to its end: the last event is %d", f.build, f.last)
	}
}

func (f *follower) problem(format string, args ...any) {
	f.problems = append(f.problems, fmt.Sprintf(format, args...))
}

// connect reads one connection.
func (f *follower) connect(ctx context.Context) error {
	req := f.d.request(ctx, reader, http.MethodGet, fmt.Sprintf("%s/builds/%d/events", api, f.build), nil)
	req.Header.Set("Accept", "text/event-stream")
	if f.last > 0 {
		req.Header.Set("Last-Event-ID", strconv.FormatInt(f.last, 10))
	}
	// Not the daemon's client: that has a limit for the whole of an answer.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable { // it is ending
		return io.ErrUnexpectedEOF
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		f.problem("following build %d after event %d: %d %s", f.build, f.last, resp.StatusCode, text)
		return io.ErrUnexpectedEOF
	}
	return readStream(resp.Body, f.take)
}

// take looks at an event.
func (f *follower) take(e service.Event) error {
	if e.Seq != f.last+1 {
		f.problem("build %d: event %d comes after %d", f.build, e.Seq, f.last)
	}
	f.last = e.Seq
	if f.each == nil {
		f.events = append(f.events, e)
	} else if err := f.each(e); err != nil {
		f.problem("build %d, event %d: %v", f.build, e.Seq, err)
	}
	if last(e) {
		f.ended = time.Now()
		return io.EOF
	}
	return nil
}

// last tells whether an event is the last one of its build.
func last(e service.Event) bool {
	var s service.StatusData
	return e.Kind == service.StatusEvent && json.Unmarshal(e.Data, &s) == nil && s.Status.Final()
}

// readStream reads server-sent events until take has an error or the stream ends.
func readStream(r io.Reader, take func(service.Event) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var id, kind string
	var data bytes.Buffer
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			if data.Len() > 0 {
				e, err := event(id, kind, data.Bytes())
				if err != nil {
					return err
				}
				if err := take(e); err != nil {
					return err
				}
			}
			data.Reset()
			kind = ""
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			id = value
		case "event":
			kind = value
		case "data":
			data.WriteString(value)
		}
	}
}

// event is what the three fields of a server-sent event say.
func event(id, kind string, data []byte) (service.Event, error) {
	var e service.Event
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("reading event %s: %w: %s", id, err, data)
	}
	e.Data = bytes.Clone(e.Data)
	if e.Seq == 0 { // the data alone
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return e, fmt.Errorf("reading the id of an event: %w", err)
		}
		return service.Event{Seq: n, Kind: kind, Data: bytes.Clone(data)}, nil
	}
	if id != strconv.FormatInt(e.Seq, 10) || kind != "" && kind != e.Kind {
		return e, fmt.Errorf("event %d of kind %s says that it is %q, %q", e.Seq, e.Kind, id, kind)
	}
	return e, nil
}
