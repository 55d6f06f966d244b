package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// retryAfter is what a client waits that has to and was not told how long.
const retryAfter = 10 * time.Second

// fault makes a problem document (RFC 9457).
func fault(status int, format string, args ...any) *huma.ErrorModel {
	return &huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: fmt.Sprintf(format, args...)}
}

// refusal says which role is wanted.
func refusal(id access.Identity, wanted access.Role) *huma.ErrorModel {
	if id.Name == "" {
		return fault(http.StatusUnauthorized, "this needs a token with the role %q: send one as \"Authorization: Bearer TOKEN\"", wanted)
	}
	return fault(http.StatusForbidden, "this needs the role %q, and %q has %q: use another token", wanted, id.Name, id.Role)
}

// problem turns an error of the service into what a client is told. What is
// no client's mistake is logged, and the client is told where to look it up.
func (a *api) problem(ctx context.Context, err error) error {
	var (
		told        huma.StatusError
		missing     *service.NotFoundError
		invalid     *service.InvalidError
		conflict    *service.ConflictError
		unavailable *service.UnavailableError
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &told):
		return err
	case errors.As(err, &missing):
		return fault(http.StatusNotFound, "%v", err)
	case errors.As(err, &invalid):
		p := fault(http.StatusUnprocessableEntity, "%v", err)
		detail := &huma.ErrorDetail{Message: invalid.Error(), Location: "body"}
		if invalid.Field != "" {
			detail.Location += "." + invalid.Field
		}
		p.Errors = []*huma.ErrorDetail{detail}
		return p
	case errors.As(err, &conflict):
		return fault(http.StatusConflict, "%v", err)
	case errors.As(err, &unavailable):
		return later(unavailable.After, "%v", err)
	case errors.Is(err, service.ErrStopping), errors.Is(ctx.Err(), context.Canceled):
		return later(0, "the service is ending, or the request was given up: try again")
	}
	reference := rand.Text()[:10]
	a.log.ErrorContext(ctx, "answering a request", "operation", answerOf(ctx).operation, "reference", reference, "error", err)
	return fault(http.StatusInternalServerError, "something went wrong in the service: its log tells more under reference %s", reference)
}

// later is the answer to those who may try again.
func later(after time.Duration, format string, args ...any) error {
	if after <= 0 {
		after = retryAfter
	}
	seconds := strconv.Itoa(int(math.Ceil(after.Seconds())))
	return huma.ErrorWithHeaders(fault(http.StatusServiceUnavailable, format, args...), http.Header{"Retry-After": {seconds}})
}

// withoutValues keeps inputs out of problem documents: they may be large, and
// hold what is nobody's business.
func withoutValues(_ huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*huma.ErrorModel); ok {
		for _, detail := range p.Errors {
			detail.Value = nil
		}
	}
	return v, nil
}

// writeProblem answers where no operation does.
func writeProblem(w http.ResponseWriter, p *huma.ErrorModel) {
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p) //nolint:errcheck // the client is gone
}
