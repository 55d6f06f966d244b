package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
)

const (
	maxEvent = 32 << 20 // bytes of an event in the stream
	maxPause = 10 * time.Second
)

// Follow gives each event of a build after one to show, once and in order,
// until the build has ended. A connection that breaks is made again; it gives
// up after two minutes in which the service says nothing. An error of show
// ends it.
func (c *Client) Follow(ctx context.Context, id, after int64, show func(service.Event) error) error {
	f := &following{Client: c, id: id, after: after, show: show, heard: time.Now()}
	for pause := c.pause; ; pause = min(2*pause, maxPause) {
		before := f.after
		done, err := f.once(ctx)
		var refused *Error
		var stop *showError
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &stop):
			return stop.error
		case done:
			return nil
		case errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
			return err
		case time.Since(f.heard) > c.patience:
			return fmt.Errorf("following build %d: %w", id, err)
		}
		if f.after > before {
			pause = c.pause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// following is a build that is followed.
type following struct {
	*Client
	id, after int64
	show      func(service.Event) error
	heard     time.Time // when the service last said something
}

var errSilent = errors.New("it says nothing any more")

// showError is an error of the one who is shown events.
type showError struct{ error }

// once follows over one connection; done says that the last event was shown.
func (f *following) once(ctx context.Context) (done bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A service that is well gives signs of life more often.
	silence := time.AfterFunc(f.silence, func() { cancel(errSilent) })
	defer silence.Stop()
	defer func() {
		if err != nil && context.Cause(ctx) == errSilent {
			err = f.unreached(errSilent)
		}
	}()
	resp, err := f.do(ctx, buildPath("GET", f.id, fmt.Sprintf("/events?after=%d", f.after)), nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return true, nil
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		silence.Reset(f.silence)
		f.heard = time.Now()
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if done, err := f.event(data); done || err != nil {
			return done, err
		}
	}
	if err := lines.Err(); err != nil {
		return false, f.unreached(err)
	}
	return false, f.unreached(io.ErrUnexpectedEOF)
}

// event shows an event, unless it was shown before.
func (f *following) event(data string) (last bool, err error) {
	var e service.Event
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return false, fmt.Errorf("reading an event of build %d: %w: use a riscv-build of the same version", f.id, err)
	}
	switch {
	case e.Seq <= f.after:
		return false, nil
	case e.Seq > f.after+1:
		return false, fmt.Errorf("reading the events of build %d: after %d comes %d: use a riscv-build of the same version", f.id, f.after, e.Seq)
	}
	if err := f.show(e); err != nil {
		return false, &showError{err}
	}
	f.after = e.Seq
	return final(e), nil
}

// final tells whether no event comes after one.
func final(e service.Event) bool {
	var d service.StatusData
	return e.Kind == service.StatusEvent && json.Unmarshal(e.Data, &d) == nil && d.Status.Final()
}
