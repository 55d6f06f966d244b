package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

type outdatedOutput struct{ Body service.OutdatedReport }

type stateOutput struct{ Body service.State }

type imagesOutput struct {
	Body struct {
		Images []service.Image `json:"images" nullable:"false" doc:"sorted by repository and tag"`
	}
}

type healthOutput struct {
	Body struct {
		Status string `json:"status" enum:"ok"`
	}
}

func (a *api) registerState() {
	register(a, access.Read, huma.Operation{
		OperationID: "get-outdated", Method: http.MethodGet, Path: prefix + "/outdated", Tags: []string{recipesTag},
		Summary: "Show what has newer versions", Description: "As it was found by the last check.",
	}, a.outdated)
	register(a, access.Build, huma.Operation{
		OperationID: "check-outdated", Method: http.MethodPost, Path: prefix + "/outdated/check", Tags: []string{recipesTag},
		Summary: "Look for newer versions", Description: "The answer comes before they are found.",
		DefaultStatus: http.StatusAccepted, Errors: []int{http.StatusConflict},
	}, func(ctx context.Context, _ *struct{}) (*outdatedOutput, error) {
		if err := a.service.CheckOutdated(ctx, access.From(ctx).Name); err != nil {
			return nil, err
		}
		return a.outdated(ctx, nil)
	})
	register(a, access.Read, huma.Operation{
		OperationID: "list-images", Method: http.MethodGet, Path: prefix + "/registry/images", Tags: []string{serviceTag},
		Summary: "List what the service's registry holds", Errors: []int{http.StatusNotFound},
	}, a.images)
	register(a, access.Read, huma.Operation{
		OperationID: "get-state", Method: http.MethodGet, Path: prefix + "/state", Tags: []string{serviceTag}, Summary: "Show how the service is doing",
	}, func(ctx context.Context, _ *struct{}) (*stateOutput, error) {
		s, err := a.service.State(ctx)
		return &stateOutput{Body: s}, err
	})
	register(a, access.Nobody, huma.Operation{
		OperationID: "health", Method: http.MethodGet, Path: "/healthz", Tags: []string{serviceTag}, Summary: "Tell whether the service works",
	}, a.health)
	register(a, access.Read, huma.Operation{
		OperationID: "metrics", Method: http.MethodGet, Path: "/metrics", Tags: []string{serviceTag}, Summary: "Metrics in the format of Prometheus",
		Responses: content(http.StatusOK, "text/plain; version=0.0.4", &huma.Schema{Type: huma.TypeString}),
	}, func(context.Context, *struct{}) (*streamOutput, error) {
		return &streamOutput{Body: func(ctx huma.Context) {
			r, w := humago.Unwrap(ctx)
			a.metrics.handler.ServeHTTP(w, r)
		}}, nil
	})
	a.registerDocument()
}

func (a *api) outdated(ctx context.Context, _ *struct{}) (*outdatedOutput, error) {
	r, err := a.service.Outdated(ctx)
	return &outdatedOutput{Body: r}, err
}

func (a *api) images(ctx context.Context, _ *struct{}) (*imagesOutput, error) {
	if a.registry == nil {
		return nil, fault(http.StatusNotFound, "this service has no registry: start it with --registry")
	}
	all, err := a.registry.Images(ctx)
	var out imagesOutput
	out.Body.Images = append([]service.Image{}, all...)
	return &out, err
}

// health tells nothing of what is wrong: it is open to everybody.
func (a *api) health(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	if _, err := a.service.State(ctx); err != nil {
		a.log.WarnContext(ctx, "telling the state of the service", "error", err)
		return nil, later(0, "the service does not work: its log tells more")
	}
	var out healthOutput
	out.Body.Status = "ok"
	return &out, nil
}
