//go:build linux

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/moby/buildkit/executor"
	resources "github.com/moby/buildkit/executor/resources/types"
	"github.com/moby/buildkit/identity"
	"github.com/riscv-build/riscv-build/builder/engine/buildkit"
)

// streamsVariable is how a process that is started through BuildKit's gateway
// names its streams to the executor. The process itself does not see it.
const streamsVariable = "RISCV_BUILD_STREAMS="

// localExecutor executes what BuildKit tells it to. Where that fails for want of
// memory it says so in the output. There are two differences that the gateway's
// containers need, and one that makes containerd as good as runc: a program that
// cannot be started is a process that said why and ended. Their streams lead straight to this process:
// over the gateway, a byte written to the standard input of a process that has
// just ended breaks the connection to all processes. And a second process that
// fails does not end its container, because a probe fails until the server is ready.
type localExecutor struct {
	executor.Executor

	memory  *memoryWatch
	running sync.WaitGroup // containers
	// end ends a container that may have been left by a Run that was cancelled.
	end func(ctx context.Context, id string)

	mu    sync.Mutex
	known map[string]*buildkit.Streams
}

func newLocalExecutor(memory *memoryWatch) *localExecutor {
	return &localExecutor{memory: memory, known: map[string]*buildkit.Streams{}}
}

// expect remembers the streams of a process that is to be started with env,
// and gives the environment that names them; undo forgets them.
func (l *localExecutor) expect(env []string, s *buildkit.Streams) (named []string, undo func()) {
	id := identity.NewID()
	l.mu.Lock()
	l.known[id] = s
	l.mu.Unlock()
	variable := streamsVariable + id
	return append([]string{variable}, env...), func() { l.take([]string{variable}) }
}

// take finds the streams that an environment names, nil when it names none,
// and gives the environment without the name.
func (l *localExecutor) take(env []string) (*buildkit.Streams, []string) {
	var found *buildkit.Streams
	var rest []string
	for _, v := range env {
		id, ok := strings.CutPrefix(v, streamsVariable)
		if !ok {
			rest = append(rest, v)
			continue
		}
		l.mu.Lock()
		found = l.known[id]
		delete(l.known, id)
		l.mu.Unlock()
	}
	return found, rest
}

// connect tells whether the process is one that this process started.
func (l *localExecutor) connect(process *executor.ProcessInfo) bool {
	s, env := l.take(process.Meta.Env)
	if s == nil {
		return false
	}
	process.Meta.Env = env
	process.Stdin, process.Stdout, process.Stderr = s.Stdin, s.Stdout, s.Stderr
	return true
}

// Run runs a container.
func (l *localExecutor) Run(ctx context.Context, id string, root executor.Mount, mounts []executor.Mount, process executor.ProcessInfo, started chan<- struct{}) (resources.Recorder, error) {
	l.running.Add(1)
	defer l.running.Done()
	l.connect(&process)
	if id == "" {
		id = identity.NewID()
	}
	kills := l.memory.kills()
	recorder, err := l.Executor.Run(ctx, id, root, mounts, process, started)
	if ctx.Err() != nil {
		l.end(context.WithoutCancel(ctx), id)
	}
	if err != nil && process.Stderr != nil && l.memory.kills() > kills {
		_, _ = fmt.Fprintln(process.Stderr, l.memory) // no more than words are lost
	}
	if err != nil && !errors.As(err, new(*gatewaypb.ExitError)) && strings.Contains(err.Error(), buildkit.StartFailure) {
		if process.Stderr != nil {
			_, _ = io.WriteString(process.Stderr, err.Error()+"\n") // the status says the same, in fewer words
		}
		err = &gatewaypb.ExitError{ExitCode: 1, Err: err}
	}
	return recorder, err
}

// settle waits until every container has ended, and tells whether that was in time.
func (l *localExecutor) settle(limit time.Duration) bool {
	ended := make(chan struct{})
	go func() {
		l.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return true
	case <-time.After(limit):
		return false
	}
}

// Exec runs a second process in a container. How one that this process started
// ends is told by what it writes: an error would end the container.
func (l *localExecutor) Exec(ctx context.Context, id string, process executor.ProcessInfo) error {
	ours := l.connect(&process)
	err := l.Executor.Exec(ctx, id, process)
	if !ours {
		return err
	}
	if err != nil && process.Stderr != nil {
		_, _ = io.WriteString(process.Stderr, err.Error()+"\n") // kept in memory; cannot fail
	}
	return nil
}
