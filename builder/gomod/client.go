package gomod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/mod/module"

	"github.com/riscv-build/riscv-build/builder/fetch"
)

const (
	rounds    = 3                      // how often every proxy is tried
	backoff   = 500 * time.Millisecond // after the first round, doubled after each
	smallFile = 16 << 20               // no go.mod and no answer of a checksum database is larger
	stall     = 2 * time.Minute        // without a byte; a proxy may fetch a module itself first
)

// Client asks proxies and the checksum database.
type Client struct {
	Proxies
	HTTP      *http.Client // nil: one that honours the proxy environment
	UserAgent string
	Dir       string // where what is known of the checksum database is kept
}

// Error says that no proxy gave a file.
type Error struct {
	Location string
	Gone     bool // every proxy said that it does not have or give it
	Tried    []string
}

// Error lists what every proxy said.
func (e *Error) Error() string {
	if len(e.Tried) == 0 {
		return fmt.Sprintf("downloading %q: no module proxy is named: set GOPROXY, or go_proxies in config.toml, or install Go, which names one", e.Location)
	}
	do := "check the network and GOPROXY, then run the command again"
	if e.Gone {
		do = "check the module's path and version, or name a proxy that has it in GOPROXY"
	}
	return fmt.Sprintf("downloading %q:\n  %s\n%s", e.Location, strings.Join(e.Tried, "\n  "), do)
}

// ExitCode is that of a registry or mirror.
func (e *Error) ExitCode() int { return 4 }

// refused is an answer after which the same proxy need not be asked again.
type refused struct{ status string }

func (r *refused) Error() string { return r.status }

// Fetch hands the file at a location to use, from the first proxy that has it.
// use is called again where a transfer broke; an error of its own ends it.
func (c *Client) Fetch(ctx context.Context, location string, use func(io.Reader) error) error {
	return c.fetch(ctx, location, c.Resolve(location), use)
}

func (c *Client) fetch(ctx context.Context, location string, urls []string, use func(io.Reader) error) error {
	e := &Error{Location: location}
	for round := range rounds {
		e.Tried, e.Gone = nil, true
		for _, u := range urls {
			err := c.get(ctx, u, use)
			var no *refused
			var own *useError
			switch {
			case err == nil:
				return nil
			case errors.As(err, &own):
				return own.error
			case ctx.Err() != nil:
				return fmt.Errorf("downloading %q: %w", location, ctx.Err())
			}
			e.Gone = e.Gone && errors.As(err, &no)
			e.Tried = append(e.Tried, u+": "+err.Error())
		}
		if e.Gone {
			break
		}
		if round < rounds-1 {
			_ = fetch.Pause(ctx, backoff<<round, 0) // the next round meets the context's end
		}
	}
	return e
}

// Read gives a small file.
func (c *Client) Read(ctx context.Context, location string) ([]byte, error) {
	return c.read(ctx, location, c.Resolve(location))
}

func (c *Client) read(ctx context.Context, location string, urls []string) ([]byte, error) {
	var data []byte
	err := c.fetch(ctx, location, urls, func(r io.Reader) (err error) {
		data, err = io.ReadAll(io.LimitReader(r, smallFile))
		return err
	})
	return data, err
}

// useError is an error of who used a file, not of the connection.
type useError struct{ error }

// get asks one address.
func (c *Client) get(ctx context.Context, address string, use func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	patience := time.AfterFunc(stall, cancel)
	defer patience.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if c.UserAgent != "" {
		req.Header.Set("User-Agent", c.UserAgent)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden, http.StatusUnauthorized:
		return &refused{res.Status}
	default:
		return errors.New(res.Status)
	}
	body := &watched{r: res.Body, came: func() { patience.Reset(stall) }}
	if err := use(body); err != nil {
		if body.err != nil {
			return body.err
		}
		return &useError{err}
	}
	return nil
}

// watched notes that bytes came, and whether reading failed.
type watched struct {
	r    io.Reader
	came func()
	err  error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if n > 0 {
		w.came()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		w.err = err
	}
	return n, err
}

// Versions lists the versions of a module that the proxies know, in no order.
func (c *Client) Versions(ctx context.Context, modulePath string) ([]string, error) {
	escaped, err := module.EscapePath(modulePath)
	if err != nil {
		return nil, fmt.Errorf("reading module path %q: %w: correct it", modulePath, err)
	}
	list, err := c.Read(ctx, Scheme+escaped+"/@v/list")
	return strings.Fields(string(list)), err
}
