package host

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const mirrorTimeout = 10 * time.Second

// mirrors asks each mirror for the head of a file that every mirror has. One
// that answers is enough; without any, only what is in the cache can be built.
func mirrors(ctx context.Context, o Options) []Finding {
	if len(o.Mirrors) == 0 {
		return nil
	}
	f := Finding{Name: "mirror", Severity: Warning,
		Why: "packages that are not in the cache yet cannot be downloaded",
		Fix: "check the network, or name a mirror with --mirror or in config.toml"}
	var problems []string
	for _, base := range o.Mirrors {
		err := reach(ctx, o.Client, base)
		if err == nil {
			return []Finding{good(f.Name, Warning, base+" answers")}
		}
		problems = append(problems, err.Error())
	}
	f.What = strings.Join(problems, "; ")
	return []Finding{f}
}

func reach(ctx context.Context, client *http.Client, base string) error {
	ctx, cancel := context.WithTimeout(ctx, mirrorTimeout)
	defer cancel()
	url := strings.TrimSuffix(base, "/") + "/dists/stable/InRelease"
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url, nil)
	if err != nil {
		return fmt.Errorf("asking mirror %q: %w", base, err)
	}
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("asking mirror %q: %w", base, err)
	}
	resp.Body.Close()
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("asking mirror %q: %q answers %s", base, url, resp.Status)
	}
	return nil
}
