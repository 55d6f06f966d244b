package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/riscv-build/riscv-build/builder/engine"
)

const (
	complaintSize = 4 << 10         // bytes kept of what a command says to standard error
	endWait       = 2 * time.Second // for a command to end after its input has
)

// commandConn is a connection through the standard streams of a command, such as ssh.
type commandConn struct {
	name     string // of the command, for messages
	cmd      *exec.Cmd
	in, out  *os.File
	complain *complaint
	ended    chan struct{}
	err      error // valid when ended is closed
	closing  sync.Once
}

// complaint keeps the end of what a command says.
type complaint struct {
	mu   sync.Mutex
	text []byte
}

func (c *complaint) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text = append(c.text, b...)
	c.text = c.text[max(0, len(c.text)-complaintSize):]
	return len(b), nil
}

func (c *complaint) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.TrimSpace(string(c.text))
}

// startCommand connects through a command. The command outlives ctx, which is
// for the connecting, and ends with the connection.
func startCommand(args []string) (*commandConn, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, &engine.EnvironmentError{
			What: fmt.Sprintf("the program %s is not installed, and the engine is reached through it", args[0]),
			Do:   "install it, or name another engine with --engine",
		}
	}
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, stdin.Close(), in.Close())
	}
	c := &commandConn{name: args[0], in: in, out: out, complain: &complaint{}, ended: make(chan struct{})}
	c.cmd = exec.Command(path, args[1:]...)
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = stdin, stdout, c.complain
	c.cmd.WaitDelay = endWait
	// The keyboard's interrupt is for this program, which then ends the build over this connection.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = c.cmd.Start()
	_ = stdin.Close()
	_ = stdout.Close()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", args[0], err), in.Close(), out.Close())
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// failure says why the command has ended, nil if it has not.
func (c *commandConn) failure(ctx context.Context) error {
	select {
	case <-c.ended:
	case <-ctx.Done():
		return nil
	case <-time.After(endWait): // it is about to, if it is what failed
		return nil
	}
	if text := c.complain.String(); text != "" {
		return fmt.Errorf("%s said: %s", c.name, text)
	}
	if c.err != nil {
		return fmt.Errorf("%s ended: %w", c.name, c.err)
	}
	return fmt.Errorf("%s ended", c.name)
}

func (c *commandConn) Read(b []byte) (int, error)  { return c.out.Read(b) }
func (c *commandConn) Write(b []byte) (int, error) { return c.in.Write(b) }

// Close ends the command: its input ends, and if that does not suffice it is killed.
func (c *commandConn) Close() error {
	c.closing.Do(func() {
		_ = c.in.Close()
		_ = c.out.Close()
		go func() {
			select {
			case <-c.ended:
			case <-time.After(endWait):
				_ = c.cmd.Process.Kill()
			}
		}()
	})
	return nil
}

// LocalAddr and RemoteAddr are of net.Conn; there is nothing to tell.
func (c *commandConn) LocalAddr() net.Addr  { return commandAddr(c.name) }
func (c *commandConn) RemoteAddr() net.Addr { return commandAddr(c.name) }

// SetDeadline sets when reading and writing are given up.
func (c *commandConn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets when reading is given up.
func (c *commandConn) SetReadDeadline(t time.Time) error { return c.out.SetReadDeadline(t) }

// SetWriteDeadline sets when writing is given up.
func (c *commandConn) SetWriteDeadline(t time.Time) error { return c.in.SetWriteDeadline(t) }

type commandAddr string

// Network is the kind of address.
func (commandAddr) Network() string  { return "command" }
func (a commandAddr) String() string { return string(a) }
