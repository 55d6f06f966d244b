package builder

import (
	"bytes"
	"context"
	"errors"
	"sync"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// keptLocks is how many parsed locks are kept: recipes of one directory follow
// one another, and a few directories may be worked on at the same time.
const keptLocks = 4

// parsedLocks keeps the locks that were read last. A lock has several hundred
// packages, and all recipes of a directory share it.
type parsedLocks struct {
	mu   sync.Mutex
	last []parsedLock // the latest first
}

type parsedLock struct {
	name string
	text []byte
	file *lock.File // not to be changed
}

// get parses the text of a lock, if it was not parsed before.
func (p *parsedLocks) get(name string, text []byte) (*lock.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, have := range p.last {
		if have.name == name && bytes.Equal(have.text, text) {
			return have.file, nil
		}
	}
	f, err := lock.Parse(name, text)
	if err != nil {
		return f, err
	}
	kept := []parsedLock{{name, text, f}}
	for _, have := range p.last {
		if have.name != name && len(kept) < keptLocks {
			kept = append(kept, have)
		}
	}
	p.last = kept
	return f, nil
}

// once makes something for all who want the same at the same time. What was
// given up with the context of another caller is begun again.
func (b *Builder) once(ctx context.Context, key string, f func() (any, error)) (any, error) {
	for {
		v, err, shared := b.layers.Do(key, f)
		if shared && errors.Is(err, context.Canceled) && ctx.Err() == nil {
			continue
		}
		return v, err
	}
}

// tally counts what was made, by key.
type tally struct {
	mu    sync.Mutex
	times map[string]int
}

func (t *tally) note(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.times == nil {
		t.times = map[string]int{}
	}
	t.times[key]++
}

// Assembled counts the layers of packages that this Builder has assembled, and
// how many of them it had assembled before.
func (b *Builder) Assembled() (layers, repeated int) {
	b.made.mu.Lock()
	defer b.made.mu.Unlock()
	for _, n := range b.made.times {
		layers += n
		repeated += n - 1
	}
	return layers, repeated
}
