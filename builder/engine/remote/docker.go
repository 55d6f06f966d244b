package remote

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	buildkit "github.com/moby/buildkit/client"
	"github.com/moby/moby/client"
	"github.com/riscv-build/riscv-build/builder/engine"
)

// dockerDaemon is a Docker whose own BuildKit is used, through Docker's API.
type dockerDaemon struct {
	client *client.Client
}

// openDocker prepares to connect to Docker.
func openDocker(a Address) (*dockerDaemon, error) {
	where := dockerContext{host: a.url.Query().Get("host")}
	if where.host == "" {
		var err error
		if where, err = findDockerContext(a.url.Host, os.Getenv); err != nil {
			return nil, err
		}
	}
	c, err := where.client()
	if err != nil {
		return nil, &engine.EnvironmentError{What: fmt.Sprintf("the docker of %q cannot be addressed", a), Err: err, Do: "correct its host or DOCKER_HOST, or see `docker context ls`"}
	}
	return &dockerDaemon{client: c}, nil
}

// answers says why Docker cannot be asked at all.
func (d *dockerDaemon) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	if _, err := d.client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		return &engine.EnvironmentError{
			What: fmt.Sprintf("docker at %q does not answer", d.client.DaemonHost()), Err: err,
			Do: "start it, and see that you may use it (`docker info`); `docker context ls` shows others",
		}
	}
	return nil
}

// exports asks for the image store: the BuildKit of Docker's classic one exports
// no OCI layout.
func (d *dockerDaemon) exports(ctx context.Context) error {
	info, err := d.client.Info(ctx, client.InfoOptions{})
	if err != nil {
		return err
	}
	for _, status := range info.Info.DriverStatus {
		if status[0] == "driver-type" && strings.HasPrefix(status[1], "io.containerd.snapshotter") {
			return nil
		}
	}
	return &engine.EnvironmentError{
		What: fmt.Sprintf("docker %s at %q keeps images in its classic store, whose BuildKit cannot give an image as an OCI layout", info.Info.ServerVersion, d.client.DaemonHost()),
		Do:   `switch the containerd image store on (Docker Desktop: Settings, General; else {"features": {"containerd-snapshotter": true}} in /etc/docker/daemon.json and a restart; docker 24 or newer), or have ` + "`riscv-build engine up` run an engine in it",
	}
}

// dial asks Docker for a connection to its BuildKit.
func (d *dockerDaemon) dial(ctx context.Context) (net.Conn, error) {
	return d.client.DialHijack(ctx, "/grpc", "h2c", nil)
}

// session has BuildKit's sessions go where Docker wants them.
func (d *dockerDaemon) session(traffic *Traffic) buildkit.ClientOpt {
	return buildkit.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
		conn, err := d.client.DialHijack(ctx, "/session", proto, meta)
		if err != nil {
			return nil, err
		}
		return counted{conn, traffic}, nil
	})
}

// sshClient reaches the daemon of a context through ssh, as the docker command does.
func (c dockerContext) sshClient() (*client.Client, error) {
	a, err := ParseAddress(c.host)
	if err != nil {
		return nil, err
	}
	args := append(sshCommand(a), "docker system dial-stdio")
	return client.New(client.WithHost("http://docker.example"), client.WithDialContext(
		func(context.Context, string, string) (net.Conn, error) { return startCommand(args) }))
}
