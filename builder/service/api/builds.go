package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// idInput is the path of one build.
type idInput struct {
	ID int64 `path:"id" minimum:"1" example:"42" doc:"number of the build"`
}

type buildOutput struct {
	Location string `header:"Location" doc:"path of the build"`
	Body     service.Build
}

type buildsOutput struct {
	Location string `header:"Location" doc:"path of the first build"`
	Body     struct {
		Builds []service.Build `json:"builds" nullable:"false"`
	}
}

type submitInput struct {
	Body service.Submission
}

type listInput struct {
	Status []string `query:"status" enum:"queued,running,succeeded,failed,cancelled" doc:"any of these, separated by commas"`
	Recipe string   `query:"recipe" maxLength:"128" doc:"name of the recipe"`
	Client string   `query:"client" maxLength:"128" doc:"who asked for it"`
	Before int64    `query:"before" minimum:"1" doc:"only builds with lower numbers"`
	Limit  int      `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"at most so many"`
}

type listOutput struct {
	Link string `header:"Link" doc:"the next page, rel=next"`
	Body struct {
		Builds []service.Build `json:"builds" nullable:"false" doc:"newest first"`
		Next   string          `json:"next,omitempty" doc:"path of the next page; absent on the last one"`
	}
}

func (a *api) registerBuilds() {
	register(a, access.Build, huma.Operation{
		OperationID: "submit", Method: http.MethodPost, Path: prefix + "/builds", Tags: []string{buildsTag},
		Summary: "Ask for builds", DefaultStatus: http.StatusAccepted, MaxBodyBytes: maxUpload, BodyReadTimeout: uploadTimeout,
		Middlewares: huma.Middlewares{a.oneLarge},
		Description: "Exactly one of recipes (names), upload (recipe files with what they name) and git is given. " +
			"A build with the same inputs as one that is queued or running is made once; same_as says so.",
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Examples: map[string]*huma.Example{
			"names": {Summary: "recipes by their names", Value: map[string]any{"recipes": []string{"busybox"}, "options": map[string]any{"push": []string{"192.168.1.5:6000"}}}},
			"git":   {Summary: "recipes of a git repository", Value: map[string]any{"git": map[string]any{"url": "https://git.example.org/recipes.git", "ref": "main"}}},
		}}}},
		Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, a.submit)
	register(a, access.Read, huma.Operation{
		OperationID: "list-builds", Method: http.MethodGet, Path: prefix + "/builds", Tags: []string{buildsTag},
		Summary: "List builds, newest first", Errors: []int{http.StatusUnprocessableEntity},
	}, a.list)
	register(a, access.Read, huma.Operation{
		OperationID: "get-build", Method: http.MethodGet, Path: prefix + "/builds/{id}", Tags: []string{buildsTag},
		Summary: "Show a build", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *idInput) (*buildOutput, error) {
		b, err := a.service.Build(ctx, in.ID)
		return &buildOutput{Body: b}, err
	})
	register(a, access.Build, huma.Operation{
		OperationID: "cancel-build", Method: http.MethodPost, Path: prefix + "/builds/{id}/cancel", Tags: []string{buildsTag},
		Summary: "End a build", Description: "The answer may come before it has ended.", Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *idInput) (*buildOutput, error) {
		b, err := a.service.Cancel(ctx, in.ID, access.From(ctx).Name)
		return &buildOutput{Body: b, Location: buildPath(b)}, err
	})
	register(a, access.Build, huma.Operation{
		OperationID: "retry-build", Method: http.MethodPost, Path: prefix + "/builds/{id}/retry", Tags: []string{buildsTag},
		Summary: "Build the same again", DefaultStatus: http.StatusAccepted,
		Description: "The answer is the new build; retry_of is the old one.", Errors: []int{http.StatusNotFound, http.StatusConflict},
	}, func(ctx context.Context, in *idInput) (*buildOutput, error) {
		b, err := a.service.Retry(ctx, in.ID, access.From(ctx).Name)
		return &buildOutput{Body: b, Location: buildPath(b)}, err
	})
}

func buildPath(b service.Build) string { return fmt.Sprintf("%s/builds/%d", prefix, b.ID) }

func (a *api) submit(ctx context.Context, in *submitInput) (*buildsOutput, error) {
	s := in.Body
	s.Client, s.Cause = access.From(ctx).Name, service.ByAPI
	return builds(a.service.Submit(ctx, s))
}

// builds is the answer to what began builds.
func builds(all []service.Build, err error) (*buildsOutput, error) {
	var out buildsOutput
	out.Body.Builds = append([]service.Build{}, all...)
	if len(all) > 0 {
		out.Location = buildPath(all[0])
	}
	return &out, err
}

func (a *api) list(ctx context.Context, in *listInput) (*listOutput, error) {
	f := service.Filter{Recipe: in.Recipe, Client: in.Client, Before: in.Before, Limit: in.Limit}
	for _, s := range in.Status {
		f.Status = append(f.Status, service.Status(s))
	}
	all, err := a.service.Builds(ctx, f)
	if err != nil {
		return nil, err
	}
	var out listOutput
	out.Body.Builds = append([]service.Build{}, all...)
	if len(all) == in.Limit && all[len(all)-1].ID > 1 {
		out.Body.Next = in.next(all[len(all)-1].ID)
		out.Link = "<" + out.Body.Next + `>; rel="next"`
	}
	return &out, nil
}

// next is the path of the builds before one.
func (in *listInput) next(before int64) string {
	q := url.Values{"before": {strconv.FormatInt(before, 10)}, "limit": {strconv.Itoa(in.Limit)}}
	for key, value := range map[string]string{"status": strings.Join(in.Status, ","), "recipe": in.Recipe, "client": in.Client} {
		if value != "" {
			q.Set(key, value)
		}
	}
	return prefix + "/builds?" + q.Encode()
}
