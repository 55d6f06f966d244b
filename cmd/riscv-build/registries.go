package main

import (
	"os"
	"path/filepath"

	"github.com/riscv-build/riscv-build/builder/display"
	"github.com/riscv-build/riscv-build/pusher"
)

// newPusher knows how the configured registries are reached.
func newPusher(p *place) *pusher.Pusher {
	registries := map[string]pusher.Registry{}
	for host, r := range p.config.Registries {
		registries[host] = pusher.Registry{PlainHTTP: r.PlainHTTP, CAFile: r.CA, CertFile: r.Cert, KeyFile: r.Key}
	}
	if p.own != "" {
		// It is this process that listens there: nothing is to be found out from its certificate.
		registries[p.own] = pusher.Registry{InsecureTLS: true}
	}
	return pusher.New(pusher.Options{
		Registries: registries,
		CertDirs:   certDirs(),
		UserAgent:  "riscv-build/" + programVersion(),
		Stall:      p.config.StallTime(),
		Progress:   transfers{p.display},
		Notice:     func(text string) { p.display.Notice("%s", text) },
	})
}

// certDirs are where docker and podman look for the certificates of registries.
func certDirs() []string {
	dirs := []string{"/etc/docker/certs.d", "/etc/containers/certs.d"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".docker", "certs.d"), filepath.Join(home, ".config", "containers", "certs.d"))
	}
	return dirs
}

// transfers shows what is pushed and pulled.
type transfers struct{ display *display.Display }

// Pushing takes the state of one blob; one that is there already is no transfer.
func (t transfers) Pushing(e pusher.Event) {
	switch e.State {
	case pusher.Sending, pusher.Sent:
		t.display.Transfer("push", e.Digest, e.Done, e.State == pusher.Sent)
	case pusher.Fetching, pusher.Fetched:
		t.display.Transfer("pull", e.Digest, e.Done, e.State == pusher.Fetched)
	}
}
