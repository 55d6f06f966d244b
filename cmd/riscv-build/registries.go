package main

import "github.com/riscv-build/riscv-build/pusher"

// newPusher knows how the configured registries are reached.
func newPusher(p *place) *pusher.Pusher {
	registries := map[string]pusher.Registry{}
	for host, r := range p.config.Registries {
		registries[host] = pusher.Registry{PlainHTTP: r.PlainHTTP, CAFile: r.CA, CertFile: r.Cert, KeyFile: r.Key}
	}
	return pusher.New(pusher.Options{
		Registries: registries,
		UserAgent:  "riscv-build/" + programVersion(),
		Notice:     func(text string) { p.display.Notice("%s", text) },
	})
}
