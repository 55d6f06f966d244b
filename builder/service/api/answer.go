package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// answer is the answer to a request, and what is known of it.
type answer struct {
	http.ResponseWriter
	operation string // id of the OpenAPI document; "none" if it is none of these
	status    int    // 0: nothing was sent
	stream    bool   // its duration is not the service's doing
	head      bool   // nobody wants its body
}

type answerKey struct{}

func answerOf(ctx context.Context) *answer {
	return ctx.Value(answerKey{}).(*answer)
}

// Unwrap is for http.ResponseController.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *answer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *answer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

func (w *answer) problem(p *huma.ErrorModel) { writeProblem(w, p) }

func setReadDeadline(ctx context.Context, t time.Time) {
	http.NewResponseController(answerOf(ctx)).SetReadDeadline(t) //nolint:errcheck // tests without a connection
}

func setWriteDeadline(ctx context.Context, t time.Time) {
	http.NewResponseController(answerOf(ctx)).SetWriteDeadline(t) //nolint:errcheck // as above
}

// handler answers every request, whatever happens.
func (a *api) handler() http.Handler {
	mux := a.Adapter()
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &answer{ResponseWriter: rw, operation: "none", head: r.Method == http.MethodHead}
		began := time.Now()
		defer func() { a.ended(w, r, began, recover()) }()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		r = r.WithContext(context.WithValue(r.Context(), answerKey{}, w))
		r.Body = &body{r.Body}
		mux.ServeHTTP(&unmatched{answer: w}, r)
	})
}

// ended counts a request and answers one that panicked.
func (a *api) ended(w *answer, r *http.Request, began time.Time, panicked any) {
	defer func() { a.metrics.request(w, time.Since(began)) }()
	if panicked == nil {
		return
	}
	if err, ok := panicked.(error); ok && (errors.Is(err, http.ErrAbortHandler) || errors.Is(err, os.ErrDeadlineExceeded)) || r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	a.log.ErrorContext(r.Context(), "answering a request", "operation", w.operation, "panic", panicked, "stack", string(debug.Stack()))
	if w.status != 0 {
		panic(http.ErrAbortHandler) // what was sent is incomplete: the client must see that
	}
	w.problem(fault(http.StatusInternalServerError, "something went wrong in the service: its log tells more"))
}

// oneLarge sees to it that one large input is in memory at a time.
func (a *api) oneLarge(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	if r.ContentLength >= 0 && r.ContentLength <= largeBody {
		next(ctx)
		return
	}
	wait := time.NewTimer(bodyTimeout)
	defer wait.Stop()
	select {
	case a.large <- struct{}{}:
		defer func() { <-a.large }()
		next(ctx)
	case <-wait.C:
		ctx.SetHeader("Retry-After", "5")
		answerOf(r.Context()).problem(fault(http.StatusServiceUnavailable, "another large submission is being taken: try again in a moment"))
	case <-r.Context().Done():
	}
}

// body is the input of a request. What is wrong with the sending of one is the
// client's affair, and the library takes only one that is late as that.
type body struct{ io.ReadCloser }

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = unsent{err}
	}
	return n, err
}

// unsent is a net.Error.
type unsent struct{ error }

func (unsent) Timeout() bool   { return true }
func (unsent) Temporary() bool { return false }

// unmatched turns what http.ServeMux says of paths and methods it does not
// have into problem documents. An operation's own answers name themselves.
type unmatched struct {
	*answer
	drop bool
}

func (u *unmatched) WriteHeader(status int) {
	if u.operation != "none" || status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		u.answer.WriteHeader(status)
		return
	}
	u.drop = true
	if status == http.StatusNotFound {
		u.problem(fault(status, "there is nothing here: /api/v1/openapi.json tells what there is"))
		return
	}
	u.problem(fault(status, "this method does nothing here: use %s", u.Header().Get("Allow")))
}

func (u *unmatched) Write(p []byte) (int, error) {
	if u.drop {
		return len(p), nil
	}
	return u.answer.Write(p)
}
