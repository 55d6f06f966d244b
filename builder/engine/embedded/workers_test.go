//go:build linux

package embedded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// TestWorkers runs what must hold whatever containers run in, with each of both.
func TestWorkers(t *testing.T) {
	tests := []struct {
		name string
		test func(t *testing.T, w Options)
	}{
		{"LoadingAfterAFailure", testLoadingAfterAFailure},
		{"Run", testRun},
		{"RunKeepsTheTailOfOutput", testRunKeepsTheTailOfOutput},
		{"RunOfWhatIsNotThere", testRunOfWhatIsNotThere},
		{"RunTimesOut", testRunTimesOut},
		{"RunIsCancelled", testRunIsCancelled},
		{"Probe", testProbe},
		{"ProbeOfAServerThatEnds", testProbeOfAServerThatEnds},
		{"ProbeThatEndsAtOnce", testProbeThatEndsAtOnce},
		{"MemoryIsBounded", testMemoryIsBounded},
		{"ProcessesAreBounded", testProcessesAreBounded},
		{"ContainersAreKilledFirst", testContainersAreKilledFirst},
		{"SolveGivesTheSameLayout", testSolveGivesTheSameLayout},
		{"SecretsAndCache", testSecretsAndCache},
		{"FailingStep", testFailingStep},
		{"StepWithoutProgram", testStepWithoutProgram},
		{"ImageThatIsNotInTheStore", testImageThatIsNotInTheStore},
		{"NoNetworkInGraphs", testNoNetworkInGraphs},
		{"SolveIsCancelled", testSolveIsCancelled},
		{"CacheStaysUnderItsLimit", testCacheStaysUnderItsLimit},
		{"RecoveryAfterKill", testRecoveryAfterKill},
		{"PowerLossStartsEmpty", testPowerLossStartsEmpty},
	}
	for name, w := range map[string]Options{"runc": {}, "containerd": {Containerd: socket(t)}} {
		t.Run(name, func(t *testing.T) {
			for _, c := range tests {
				t.Run(c.name, func(t *testing.T) { c.test(t, w) })
			}
		})
	}
}

// server is a containerd of the tests' own.
type server struct {
	dir     string
	socket  string
	process *exec.Cmd
	err     error
}

var ownServer = sync.OnceValue(startServer)

// socket is where the tests' containerd listens.
func socket(t *testing.T) string {
	t.Helper()
	s := ownServer()
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.socket
}

func startServer() *server {
	s := &server{}
	if _, s.err = exec.LookPath("containerd"); s.err != nil {
		s.err = fmt.Errorf("%w: install the package containerd", s.err)
		return s
	}
	if s.dir, s.err = os.MkdirTemp("/var/tmp", "engine-containerd-"); s.err != nil {
		return s
	}
	s.socket = filepath.Join(s.dir, "containerd.sock")
	config := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \"io.containerd.cri.v1.images\", \"io.containerd.cri.v1.runtime\"]\n[grpc]\naddress = %q\n[ttrpc]\naddress = %q\n",
		filepath.Join(s.dir, "root"), filepath.Join(s.dir, "state"), s.socket, s.socket+".ttrpc")
	if s.err = os.WriteFile(filepath.Join(s.dir, "config.toml"), []byte(config), 0o600); s.err != nil {
		return s
	}
	s.start()
	return s
}

func (s *server) start() {
	s.process = exec.Command("containerd", "--config", filepath.Join(s.dir, "config.toml"))
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		s.err = err
		return
	}
	defer log.Close()
	s.process.Stdout, s.process.Stderr = log, log
	if s.err = s.process.Start(); s.err != nil {
		return
	}
	// A socket that was there before may be answered by nobody yet.
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		c, err := containerd.New(s.socket, containerd.WithTimeout(20*time.Second))
		if err == nil {
			_, err = c.Version(context.Background())
			_ = c.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.err = fmt.Errorf("starting containerd: %w\n%s", err, text)
			return
		}
	}
}

// tasks lists the containers of a namespace that have a process.
func (s *server) tasks(t *testing.T, namespace string) (ids []string) {
	t.Helper()
	if s.err != nil {
		t.Fatal(s.err)
	}
	c, err := containerd.New(s.socket, containerd.WithDefaultNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := c.TaskService().List(namespaces.WithNamespace(context.Background(), namespace), &tasks.ListTasksRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all.Tasks {
		ids = append(ids, p.ID)
	}
	return ids
}

// stop ends the server, if there is one.
func (s *server) stop(signal os.Signal) {
	if s.process == nil || s.process.Process == nil {
		return
	}
	_ = s.process.Process.Signal(signal)
	_ = s.process.Wait()
}

func (s *server) remove() {
	s.stop(syscall.SIGTERM)
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
