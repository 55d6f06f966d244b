package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/riscv-build/riscv-build/builder/service"
)

// Submit asks for builds.
func (c *Client) Submit(ctx context.Context, s service.Submission) ([]service.Build, error) {
	var out struct{ Builds []service.Build }
	err := c.call(ctx, "POST /builds", s, &out)
	return out.Builds, err
}

// Build is one build.
func (c *Client) Build(ctx context.Context, id int64) (service.Build, error) {
	var b service.Build
	err := c.call(ctx, buildPath("GET", id, ""), nil, &b)
	return b, err
}

// Builds lists builds, the newest first.
func (c *Client) Builds(ctx context.Context, f service.Filter) ([]service.Build, error) {
	q := url.Values{}
	var states []string
	for _, s := range f.Status {
		states = append(states, string(s))
	}
	set := func(key, value string) {
		if value != "" && value != "0" {
			q.Set(key, value)
		}
	}
	set("status", strings.Join(states, ","))
	set("recipe", f.Recipe)
	set("client", f.Client)
	set("before", strconv.FormatInt(f.Before, 10))
	set("limit", strconv.Itoa(f.Limit))
	var out struct{ Builds []service.Build }
	err := c.call(ctx, "GET /builds?"+q.Encode(), nil, &out)
	return out.Builds, err
}

// Cancel ends a build, or takes it out of the queue.
func (c *Client) Cancel(ctx context.Context, id int64) (service.Build, error) {
	var b service.Build
	err := c.call(ctx, buildPath("POST", id, "/cancel"), nil, &b)
	return b, err
}

// Retry builds the same again, as another build.
func (c *Client) Retry(ctx context.Context, id int64) (service.Build, error) {
	var b service.Build
	err := c.call(ctx, buildPath("POST", id, "/retry"), nil, &b)
	return b, err
}

// Artefact opens one of service.LockArtefact and the like.
func (c *Client) Artefact(ctx context.Context, id int64, name string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, buildPath("GET", id, "/artefacts/"+url.PathEscape(name)), nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Recipes lists what can be built by its name.
func (c *Client) Recipes(ctx context.Context) ([]service.RecipeInfo, error) {
	var out struct{ Recipes []service.RecipeInfo }
	err := c.call(ctx, "GET /recipes", nil, &out)
	return out.Recipes, err
}

// State says how the service is doing.
func (c *Client) State(ctx context.Context) (service.State, error) {
	var s service.State
	err := c.call(ctx, "GET /state", nil, &s)
	return s, err
}

// Images lists what the service's registry holds.
func (c *Client) Images(ctx context.Context) ([]service.Image, error) {
	var out struct{ Images []service.Image }
	err := c.call(ctx, "GET /registry/images", nil, &out)
	return out.Images, err
}

// Schedules lists schedules.
func (c *Client) Schedules(ctx context.Context) ([]service.Schedule, error) {
	var out struct{ Schedules []service.Schedule }
	err := c.call(ctx, "GET /schedules", nil, &out)
	return out.Schedules, err
}

// PutSchedule makes or changes a schedule.
func (c *Client) PutSchedule(ctx context.Context, s service.Schedule) (service.Schedule, error) {
	s.Last, s.Next, s.Told = nil, nil, ""
	var out service.Schedule
	err := c.call(ctx, "PUT /schedules/"+url.PathEscape(s.Name), s, &out)
	return out, err
}

// DeleteSchedule removes a schedule.
func (c *Client) DeleteSchedule(ctx context.Context, name string) error {
	return c.call(ctx, "DELETE /schedules/"+url.PathEscape(name), nil, nil)
}

// Outdated is what was last found out about newer versions.
func (c *Client) Outdated(ctx context.Context) (service.OutdatedReport, error) {
	var r service.OutdatedReport
	err := c.call(ctx, "GET /outdated", nil, &r)
	return r, err
}

// CheckOutdated begins to look for newer versions.
func (c *Client) CheckOutdated(ctx context.Context) (service.OutdatedReport, error) {
	var r service.OutdatedReport
	err := c.call(ctx, "POST /outdated/check", nil, &r)
	return r, err
}

func buildPath(method string, id int64, rest string) string {
	return fmt.Sprintf("%s /builds/%d%s", method, id, rest)
}

// call asks for "METHOD /PATH" with an input as JSON and reads the answer into out.
func (c *Client) call(ctx context.Context, what string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("writing a request: %w", err)
		}
	}
	resp, err := c.do(ctx, what, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("reading the answer of the service at %q: %w: use a riscv-build of the same version", c.shown, err)
	}
	return nil
}

// do asks for "METHOD /PATH"; what is refused is an *Error.
func (c *Client) do(ctx context.Context, what string, body []byte) (*http.Response, error) {
	method, path, _ := strings.Cut(what, " ")
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/api/v1"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("writing a request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.agent != "" {
		req.Header.Set("User-Agent", c.agent)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(err)
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, c.refused(resp)
	}
	return resp, nil
}
