package pusher

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Ping asks whether a registry is there, and gives the address at which it
// answers: http://HOST or https://HOST. target is as ParseTarget takes it. An
// account is not needed: a registry that wants one is there too.
func (p *Pusher) Ping(ctx context.Context, target string) (address string, err error) {
	named, _, err := ParseTarget(target)
	if err != nil {
		return "", err
	}
	scheme, host := cutScheme(named)
	ep, err := p.endpoint(ctx, reference{scheme: scheme, host: host})
	if err != nil {
		return "", err
	}
	address = "https://" + host
	if ep.plain {
		address = "http://" + host
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/v2/", nil)
	if err != nil {
		return "", err
	}
	resp, err := ep.bare.Do(req)
	if err != nil {
		return "", ep.fail(ctx, subject{op: "asking for an answer"}, err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnauthorized {
		return "", &Error{Op: "asking for an answer", Registry: host, Err: fmt.Errorf("GET /v2/: %s", resp.Status), Advice: "that is no registry: correct its name or port"}
	}
	return address, nil
}
