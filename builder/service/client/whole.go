package client

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/riscv-build/riscv-build/builder/service"
)

// FollowWhole is Follow from the first event on, for one who looks at what is
// done: while another build is made for this one, stages, notices, steps and
// log of that one are given between the events of this one. Event.Build tells
// whose they are.
func (c *Client) FollowWhole(ctx context.Context, id int64, show func(service.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &whole{Client: c, ctx: ctx, fail: cancel, show: show, leave: func(bool) {}}
	defer func() { w.leave(false) }()
	return c.Follow(ctx, id, 0, w.own)
}

// whole is a build that is followed with the one that is made for it.
type whole struct {
	*Client
	ctx  context.Context
	fail context.CancelCauseFunc

	mu   sync.Mutex // one event at a time
	show func(service.Event) error

	leader int64           // 0: none; that of own only, as leave
	leave  func(wait bool) // ends following the leader; wait: when it has ended
}

// own takes the events of the build itself.
func (w *whole) own(e service.Event) error {
	var d service.StatusData
	if e.Kind == service.StatusEvent && json.Unmarshal(e.Data, &d) == nil {
		switch {
		case d.Status.Final():
			// It ended with its leader, unless somebody cancelled it alone.
			w.leave(d.Status != service.Cancelled)
			w.leader, w.leave = 0, func(bool) {}
		case d.SameAs != w.leader:
			w.leave(false)
			w.join(d.SameAs)
		}
	}
	return w.give(e)
}

func (w *whole) give(e service.Event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.show(e)
}

// join follows a leader; 0: there is none any more.
func (w *whole) join(leader int64) {
	w.leader, w.leave = leader, func(bool) {}
	if leader == 0 {
		return
	}
	ctx, stop := context.WithCancel(w.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// Without it there is less to see, and nothing else is amiss.
		_ = w.Follow(ctx, leader, 0, func(e service.Event) error {
			if e.Kind == service.StatusEvent { // both have the same
				return nil
			}
			err := w.give(e)
			if err != nil {
				w.fail(err)
			}
			return err
		})
	}()
	w.leave = func(wait bool) {
		if !wait {
			stop()
		}
		<-ended
		stop()
	}
}
