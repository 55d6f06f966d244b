// Package api is the HTTP API of the service: the operations of /api/v1, their
// OpenAPI document, metrics, health and webhooks. It asks a service.Service and
// decides nothing itself but who may ask: that is read from the request's
// context, where package access has put it. It is not for pages.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// Options are what an API is made of.
type Options struct {
	Service  service.Service
	Registry service.Registry // nil: the service has none
	Hooks    []Hook
	Version  string       // of the program, for the OpenAPI document
	Log      *slog.Logger // hears of what is nobody's mistake but ours; nil: nobody
	Metrics  *Metrics     // nil: of its own
}

// Limits of the API.
const (
	maxUpload    = 24 << 20 // bytes of a submission
	maxBody      = 64 << 10 // bytes of any other input
	maxFollowers = 1000     // that follow events or logs at the same time
	largeBody    = 1 << 20  // bytes of an input of which one is read at a time

	writeTimeout  = 30 * time.Second // of one write; who takes longer is cut off
	heartbeat     = 15 * time.Second // between signs of life in a stream
	bodyTimeout   = 30 * time.Second // to send an input
	uploadTimeout = 3 * time.Minute  // to send a submission
)

type api struct {
	huma.API
	service  service.Service
	registry service.Registry
	hooks    map[string]Hook
	log      *slog.Logger
	metrics  *Metrics

	followers    atomic.Int64
	maxFollowers int64
	writeTimeout time.Duration
	heartbeat    time.Duration
	large        chan struct{} // full while a large input is taken
	seen         deliveries
	document     func() (documents, error)
}

// New makes the handler of /api/v1/..., /metrics, /healthz and
// /webhooks/{name}. Streams end with the context of their request: a server
// that ends must cancel its base context.
func New(opt Options) http.Handler {
	a := newAPI(opt)
	return a.handler()
}

func newAPI(opt Options) *api {
	a := &api{
		service: opt.Service, registry: opt.Registry, hooks: map[string]Hook{}, log: opt.Log, metrics: opt.Metrics,
		maxFollowers: maxFollowers, writeTimeout: writeTimeout, heartbeat: heartbeat, large: make(chan struct{}, 1),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.metrics == nil {
		a.metrics = NewMetrics()
	}
	for _, h := range opt.Hooks {
		a.hooks[h.Name] = h
	}
	a.metrics.watch(opt.Service, func() float64 { return float64(a.followers.Load()) })
	a.API = humago.New(http.NewServeMux(), configuration(opt.Version))
	a.document = sync.OnceValues(func() (documents, error) { return render(a.OpenAPI()) })
	a.registerBuilds()
	a.registerStreams()
	a.registerRecipes()
	a.registerSchedules()
	a.registerState()
	a.registerWebhooks()
	return a
}

// register adds an operation and says which role it wants; Nobody: none.
func register[I, O any](a *api, role access.Role, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	if role != access.Nobody {
		op.Security = []map[string][]string{{bearerScheme: {}}}
		op.Extensions = map[string]any{"x-role": role}
		op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
	}
	if op.Method != http.MethodGet {
		op.Errors = append(op.Errors, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	op.Errors = append(op.Errors, http.StatusServiceUnavailable)
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes, op.BodyReadTimeout = maxBody, bodyTimeout
	}
	op.Middlewares = append(huma.Middlewares{a.guard(role)}, op.Middlewares...)
	huma.Register(a.API, op, func(ctx context.Context, in *I) (*O, error) {
		// The input is here. What is done with it may take longer than its sending
		// could, and who waits for it is not slow.
		setReadDeadline(ctx, time.Time{})
		out, err := handle(ctx, in)
		setWriteDeadline(ctx, time.Now().Add(a.writeTimeout))
		return out, a.problem(ctx, err)
	})
}

// guard lets through those whose role is enough.
func (a *api) guard(role access.Role) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		answer := answerOf(ctx.Context())
		answer.operation = ctx.Operation().OperationID
		if id := access.From(ctx.Context()); !id.Role.Allows(role) {
			answer.problem(refusal(id, role))
			return
		}
		next(ctx)
	}
}
