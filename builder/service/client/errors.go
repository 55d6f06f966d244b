package client

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Error is what the service says of a request that it refuses.
type Error struct {
	Status int    `json:"status"` // of HTTP
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Fields []struct {
		Location string `json:"location"` // as in body.options.mode
		Message  string `json:"message"`
	} `json:"errors"`

	at string
}

// Error says what was refused, and what to do where the service does not.
func (e *Error) Error() string {
	text := fmt.Sprintf("asking the service at %q: %s", e.at, e.Detail)
	for _, f := range e.Fields {
		if f.Message != e.Detail {
			text += fmt.Sprintf("; %s: %s", f.Location, f.Message)
		}
	}
	switch e.Status {
	case http.StatusUnauthorized:
		return text + ": give it in a file with --server-token, or in RISCV_BUILD_TOKEN"
	case http.StatusForbidden:
		return text + ": ask who runs the service for one"
	}
	return text
}

// maxProblem is the most that is read of a problem document, in bytes.
const maxProblem = 1 << 20

// refused reads why a request was refused.
func (c *Client) refused(resp *http.Response) error {
	e := &Error{at: c.shown}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(data, e) != nil || e.Detail == "" {
		e.Detail = fmt.Sprintf("it answers %q, which is nothing riscv-build says: check the address", resp.Status)
	}
	e.Status = resp.StatusCode
	return e
}

// unreached says why there is no answer.
func (c *Client) unreached(err error) error {
	var authority x509.UnknownAuthorityError
	do := "is `riscv-build serve` running there? check the address"
	switch {
	case errors.Is(err, errPublic):
		do = "nothing was sent"
	case errors.As(err, &authority):
		do = "give the CA of its certificate with --server-ca"
	}
	return fmt.Errorf("asking the service at %q: %w: %s", c.shown, err, do)
}
