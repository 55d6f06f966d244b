package queue

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
)

// Others who wait for the state directory get it after so long, at the latest.
const (
	holdTime = 10 * time.Minute
	gapTime  = time.Second // in which they take it
)

// bench is the state directory while there is work. Only the worker uses it.
type bench struct {
	maker   service.Maker
	waiting func(what string)

	made  service.Bench // nil: closed
	since time.Time
}

func (b *bench) opened() bool { return b.made != nil }

// open waits for the state directory. One that was held for long is left to
// others for a moment first.
func (b *bench) open(ctx context.Context) error {
	if b.made != nil {
		if time.Since(b.since) < holdTime {
			return nil
		}
		if err := b.close(); err != nil {
			return err
		}
		time.Sleep(gapTime)
	}
	open, err := b.maker.Open(ctx, func(holder string) {
		b.waiting(fmt.Sprintf("%s uses the state directory", holder))
	})
	if err != nil {
		return err
	}
	b.made, b.since = open, time.Now()
	return nil
}

// close lets others into the state directory and gives memory back.
func (b *bench) close() error {
	if b.made == nil {
		return nil
	}
	err := b.made.Close()
	b.made = nil
	debug.FreeOSMemory()
	return err
}
