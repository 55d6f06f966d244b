package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/status"
)

// chunk is how much of a standard input is sent at a time.
const chunk = 32 << 10

// Signals by the names that BuildKit has for them.
const (
	sigTerm = "TERM"
	sigKill = "KILL"
)

// process is a process of a container. It has a stream of BuildKit's protocol
// for itself: a byte that is sent to one that has just ended breaks the stream,
// and would take the others on it along.
type process struct {
	id      string
	stream  gatewaypb.LLBBridge_ExecProcessClient
	streams *Streams // nil: they do not go over the stream
	hangUp  context.CancelFunc

	ended chan struct{}
	err   error // valid when ended is closed

	mu     sync.Mutex // of sending
	closed bool       // the standard input
}

// start starts a process of the container. The process lives in ctx.
func (b *container) start(ctx context.Context, meta *pb.Meta, s *Streams) (*process, error) {
	p := &process{id: b.id + ":" + identity.NewID(), streams: s, ended: make(chan struct{})}
	told, undo := b.place.Direct(meta.Env, s)
	if undo != nil {
		meta.Env, p.streams = told, nil
	}
	ctx, p.hangUp = context.WithCancel(ctx)
	if err := p.begin(ctx, b, meta); err != nil {
		p.hangUp()
		if undo != nil {
			undo()
		}
		return nil, err
	}
	go p.attend()
	if p.streams != nil && p.streams.Stdin != nil {
		go p.feed()
	}
	return p, nil
}

func (p *process) begin(ctx context.Context, b *container, meta *pb.Meta) (err error) {
	if p.stream, err = b.gateway.ExecProcess(ctx); err != nil {
		return err
	}
	init := &gatewaypb.InitMessage{ContainerID: b.id, Meta: meta}
	if p.streams != nil {
		init.Fds = []uint32{1, 2}
		if p.streams.Stdin != nil {
			init.Fds = append(init.Fds, 0)
		}
	}
	if err := p.send(&gatewaypb.ExecMessage{Input: &gatewaypb.ExecMessage_Init{Init: init}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	msg, err := p.stream.Recv()
	if err != nil {
		return err
	}
	if msg.GetStarted() == nil {
		return fmt.Errorf("BuildKit answered with %T", msg.GetInput())
	}
	return nil
}

func (p *process) send(msg *gatewaypb.ExecMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	msg.ProcessID = p.id
	return p.stream.Send(msg)
}

// signal sends a signal; one that has just ended cannot be signalled.
func (p *process) signal(name string) {
	_ = p.send(&gatewaypb.ExecMessage{Input: &gatewaypb.ExecMessage_Signal{Signal: &gatewaypb.SignalMessage{Name: name}}})
}

// wait waits for the end of the process. Another exit status than 0 is a *gatewaypb.ExitError.
func (p *process) wait() error {
	<-p.ended
	return p.err
}

// outcome is wait for a process that was killed, perhaps in vain.
func (p *process) outcome() error {
	select {
	case <-p.ended:
		return p.err
	default:
		return &gatewaypb.ExitError{ExitCode: killed}
	}
}

// attend hands on what the process writes until it has ended.
func (p *process) attend() {
	defer p.hangUp()
	defer close(p.ended)
	exited := false
	for {
		msg, err := p.stream.Recv()
		switch {
		case err != nil && exited:
			return // its status is known, and what it wrote came before that error
		case err != nil:
			p.err = fmt.Errorf("losing sight of the process: %w", err)
			return
		case msg.GetFile() != nil:
			p.write(msg.GetFile())
		case msg.GetExit() != nil:
			exited, p.err = true, exitError(msg.GetExit())
			p.closeStdin()
		case msg.GetDone() != nil && exited:
			return
			// Where input is refused by a process that has ended, BuildKit may
			// say that all is done before it gives the status.
		}
	}
}

// write hands on output. Who does not want more of it closes its end.
func (p *process) write(f *gatewaypb.FdMessage) {
	if p.streams == nil {
		return
	}
	to := p.streams.Stdout
	if f.Fd == 2 {
		to = p.streams.Stderr
	}
	_, _ = to.Write(f.Data)
}

// feed sends the standard input.
func (p *process) feed() {
	buf := make([]byte, chunk)
	for {
		n, err := p.streams.Stdin.Read(buf)
		if n > 0 && p.sendStdin(&gatewaypb.FdMessage{Data: buf[:n]}) != nil {
			return
		}
		if err != nil {
			p.closeStdin()
			return
		}
	}
}

func (p *process) closeStdin() {
	if p.streams != nil && p.streams.Stdin != nil {
		_ = p.sendStdin(&gatewaypb.FdMessage{EOF: true}) // whoever reads has ended or will be told by the stream
	}
}

func (p *process) sendStdin(f *gatewaypb.FdMessage) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return io.ErrClosedPipe
	}
	p.closed = f.EOF
	return p.stream.Send(&gatewaypb.ExecMessage{ProcessID: p.id, Input: &gatewaypb.ExecMessage_File{File: f}})
}

// exitError makes an error of an exit status, as BuildKit's own client does.
func exitError(m *gatewaypb.ExitMessage) error {
	if m.Code == 0 {
		return nil
	}
	err := grpcerrors.FromGRPC(status.ErrorProto(m.Error))
	if m.Code == gatewaypb.UnknownExitStatus {
		return err
	}
	return &gatewaypb.ExitError{ExitCode: m.Code, Err: err}
}
