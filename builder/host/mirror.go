package host

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const mirrorTimeout = 10 * time.Second

// reached is what the checks of the network found, and the time a mirror told.
type reached struct {
	findings []Finding
	date     heard
}

// network checks what downloads and pushes need.
func (m machine) network(ctx context.Context, o Options) reached {
	var r reached
	settings := m.proxySettings()
	if len(o.Mirrors) > 0 && !proxied(settings, o.Mirrors[0]) {
		r.findings = append(r.findings, m.dns(ctx, o.Mirrors[0]))
	}
	a := archive{client: o.Client, cached: holdsContent(o.StateDir)}
	for _, c := range []struct {
		name, suite string
		urls        []string
	}{{"mirror", "stable", o.Mirrors}, {"security mirror", "stable-security", o.Security}} {
		if len(c.urls) == 0 {
			continue
		}
		f, date := a.mirrors(ctx, c.name, c.suite, c.urls)
		r.findings = append(r.findings, f)
		if r.date.date.IsZero() {
			r.date = date
		}
	}
	address := ""
	if o.Registry != nil {
		address = o.Registry.Address
		r.findings = append(r.findings, o.Registry.findings()...)
	}
	r.findings = append(r.findings, m.proxy(address))
	return r
}

// dns resolves the name of a mirror.
func (m machine) dns(ctx context.Context, mirror string) Finding {
	f := Finding{Name: "DNS", Severity: Warning, Why: "mirrors and registries are found by their names",
		Fix: "write `nameserver ADDRESS` into /etc/resolv.conf, or check the network"}
	u, err := url.Parse(mirror)
	if err != nil || u.Hostname() == "" {
		f.What, f.Fix = fmt.Sprintf("mirror %q has no host", mirror), "correct --mirror or config.toml"
		return f
	}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		return good(f.Name, Warning, "not asked: the mirror is named by its address")
	}
	ctx, cancel := context.WithTimeout(ctx, mirrorTimeout)
	defer cancel()
	who := "the system's resolver"
	if servers := m.nameservers(); len(servers) > 0 {
		who = strings.Join(servers, ", ")
	}
	if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", u.Hostname()); err != nil {
		f.What = fmt.Sprintf("%s does not resolve by %s: %v", u.Hostname(), who, err)
		return f
	}
	return good(f.Name, Warning, fmt.Sprintf("%s resolves by %s", u.Hostname(), who))
}

func (m machine) nameservers() []string {
	var servers []string
	for line := range strings.Lines(text(m.root, "/etc/resolv.conf")) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "nameserver" {
			servers = append(servers, f[1])
		}
	}
	return servers
}

// holdsContent says whether downloads are kept in the state directory, with
// which something can be built without a mirror.
func holdsContent(stateDir string) bool {
	blobs, _ := filepath.Glob(filepath.Join(stateDir, "content", "blobs", "*", "*"))
	return len(blobs) > 0
}

// archive asks mirrors.
type archive struct {
	client *http.Client // nil: the default one
	cached bool         // something can be built without a mirror
}

// mirrors asks the first mirror, then the others, for the head of a file that
// every mirror has. One that answers is enough; without any, only what is in
// the cache can be built.
func (a archive) mirrors(ctx context.Context, name, suite string, urls []string) (Finding, heard) {
	f := Finding{Name: name, Severity: Error, Why: "no package can be downloaded, and none is in the cache",
		Fix: "check the network, or name a mirror with --mirror or in config.toml"}
	if a.cached {
		f.Severity, f.Why = Warning, "packages that are not in the cache yet cannot be downloaded"
	}
	date, err := a.reach(ctx, urls[0], suite)
	if err == nil {
		return good(name, f.Severity, urls[0]+" answers"), date
	}
	dates, problems := make([]heard, len(urls)), make([]error, len(urls))
	problems[0] = err
	var wg sync.WaitGroup
	for i := range urls[1:] {
		wg.Go(func() { dates[i+1], problems[i+1] = a.reach(ctx, urls[i+1], suite) })
	}
	wg.Wait()
	var all []string
	for i, err := range problems {
		if err == nil {
			return good(name, f.Severity, fmt.Sprintf("%s answers; the first, %s, does not", urls[i], urls[0])), dates[i]
		}
		all = append(all, err.Error())
	}
	f.What = strings.Join(all, "; ")
	return f, heard{}
}

func (a archive) reach(ctx context.Context, base, suite string) (heard, error) {
	ctx, cancel := context.WithTimeout(ctx, mirrorTimeout)
	defer cancel()
	address := strings.TrimSuffix(base, "/") + "/dists/" + suite + "/InRelease"
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return heard{}, fmt.Errorf("asking mirror %q: %w", base, err)
	}
	client := a.client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return heard{}, fmt.Errorf("asking mirror %q: %w", base, err)
	}
	resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return heard{}, fmt.Errorf("asking mirror %q: %q answers %s", base, address, resp.Status)
	}
	date, _ := http.ParseTime(resp.Header.Get("Date")) // a server without a date tells none
	return heard{server: base, date: date, at: time.Now()}, nil
}
