package remote

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/riscv-build/riscv-build/tests/rig"
)

// namespace is a network that leads to this machine and nowhere else.
type namespace struct {
	t           *testing.T
	name        string
	device, far string // this machine's side, and the one inside
	server      string // address of this machine there
}

func newNamespace(t *testing.T) namespace {
	t.Helper()
	rig.Need(t, "ip", "iproute2")
	rig.Need(t, "nsenter", "util-linux")
	id := strconv.Itoa(os.Getpid())
	// Of the range for tests of networks, RFC 2544: four addresses for each process.
	subnet := fmt.Sprintf("198.18.%d.", os.Getpid()>>6&0xff)
	first := os.Getpid() & 0x3f << 2
	n := namespace{t, "rb-" + id, "rbs" + id, "rbc" + id, subnet + strconv.Itoa(first+1)}
	n.must("ip", "netns", "add", n.name)
	t.Cleanup(func() { _, _ = rig.Sh("ip", "netns", "delete", n.name) }) // and with it the devices
	n.must("ip", "link", "add", n.device, "type", "veth", "peer", "name", n.far, "netns", n.name)
	n.must("ip", "address", "add", n.server+"/30", "dev", n.device)
	n.must("ip", "link", "set", n.device, "up")
	n.inside("ip", "address", "add", subnet+strconv.Itoa(first+2)+"/30", "dev", n.far)
	n.inside("ip", "link", "set", n.far, "up")
	n.inside("ip", "link", "set", "lo", "up")
	return n
}

// enter is a command that runs another one there.
func (n namespace) enter() []string {
	return []string{"nsenter", "--net=/run/netns/" + n.name, "--"}
}

func (n namespace) inside(program string, args ...string) {
	n.t.Helper()
	line := append(append(n.enter(), program), args...)
	n.must(line[0], line[1:]...)
}

func (n namespace) must(program string, args ...string) {
	n.t.Helper()
	if _, err := rig.Sh(program, args...); err != nil {
		n.t.Fatal(err)
	}
}

// listen listens where those inside can connect.
func (n namespace) listen() net.Listener {
	n.t.Helper()
	l, err := net.Listen("tcp", n.server+":0")
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { l.Close() })
	return l
}
