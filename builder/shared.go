package builder

import (
	"context"
	"errors"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"

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
	name  string
	info  os.FileInfo // of the file that was read: a lock is replaced whole; nil: it was not there, or is built in
	text  []byte
	sum   digest.Digest // of text
	file  *lock.File    // not to be changed
	index *lock.Index   // of file
}

// same tells whether the file is the one that was parsed.
func (p parsedLock) same(other parsedLock) bool {
	if p.name != other.name || (p.info == nil) != (other.info == nil) {
		return false
	}
	return p.info == nil || os.SameFile(p.info, other.info) && p.info.ModTime().Equal(other.info.ModTime()) && p.info.Size() == other.info.Size()
}

// get gives a lock and its text, which are read if that was not done before.
func (p *parsedLocks) get(want parsedLock, read func() ([]byte, error)) (*lock.File, []byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, have := range p.last {
		if have.same(want) {
			return have.file, have.text, nil
		}
	}
	var err error
	if want.text, err = read(); err != nil {
		return nil, nil, err
	}
	if len(want.text) == 0 {
		return lock.New(), nil, nil
	}
	if want.file, err = lock.Parse(want.name, want.text); err != nil {
		return nil, want.text, err
	}
	want.sum, want.index = digest.FromBytes(want.text), want.file.Index()
	kept := []parsedLock{want}
	for _, have := range p.last {
		if have.name != want.name && len(kept) < keptLocks {
			kept = append(kept, have)
		}
	}
	p.last = kept
	return want.file, want.text, nil
}

// index is that of a lock, which takes a while for a large one.
func (p *parsedLocks) index(file *lock.File) *lock.Index {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, have := range p.last {
		if have.file == file {
			return have.index
		}
	}
	return file.Index()
}

// sum is the digest of a lock's text, which takes a while for a large one.
func (p *parsedLocks) sum(text []byte) digest.Digest {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, have := range p.last {
		if len(text) > 0 && len(have.text) == len(text) && &have.text[0] == &text[0] {
			return have.sum
		}
	}
	return digest.FromBytes(text)
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
