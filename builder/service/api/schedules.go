package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

type schedulesOutput struct {
	Body struct {
		Schedules []service.Schedule `json:"schedules" nullable:"false"`
	}
}

type scheduleInput struct {
	Name string `path:"name" maxLength:"64" pattern:"^[a-z0-9][a-z0-9._-]*$" example:"nightly"`
}

type scheduleOutput struct{ Body service.Schedule }

type putScheduleInput struct {
	Name string `path:"name" maxLength:"64" pattern:"^[a-z0-9][a-z0-9._-]*$" example:"nightly"`
	Body service.Schedule
}

func (a *api) registerSchedules() {
	register(a, access.Read, huma.Operation{
		OperationID: "list-schedules", Method: http.MethodGet, Path: prefix + "/schedules", Tags: []string{schedulesTag},
		Summary: "List schedules",
	}, func(ctx context.Context, _ *struct{}) (*schedulesOutput, error) {
		all, err := a.service.Schedules(ctx)
		var out schedulesOutput
		out.Body.Schedules = append([]service.Schedule{}, all...)
		return &out, err
	})
	register(a, access.Read, huma.Operation{
		OperationID: "get-schedule", Method: http.MethodGet, Path: prefix + "/schedules/{name}", Tags: []string{schedulesTag},
		Summary: "Show a schedule", Errors: []int{http.StatusNotFound},
	}, a.schedule)
	register(a, access.Admin, huma.Operation{
		OperationID: "put-schedule", Method: http.MethodPut, Path: prefix + "/schedules/{name}", Tags: []string{schedulesTag},
		Summary: "Make or change a schedule",
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {
			Example: map[string]any{"name": "nightly", "cron": "0 3 * * *", "recipes": []string{"*"}, "when": service.WhenSecurity},
		}}},
	}, a.putSchedule)
	register(a, access.Admin, huma.Operation{
		OperationID: "delete-schedule", Method: http.MethodDelete, Path: prefix + "/schedules/{name}", Tags: []string{schedulesTag},
		Summary: "Remove a schedule", Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *scheduleInput) (*struct{}, error) {
		return nil, a.service.DeleteSchedule(ctx, in.Name)
	})
}

func (a *api) schedule(ctx context.Context, in *scheduleInput) (*scheduleOutput, error) {
	all, err := a.service.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(s service.Schedule) bool { return s.Name == in.Name })
	if i < 0 {
		return nil, &service.NotFoundError{What: fmt.Sprintf("schedule %q", in.Name)}
	}
	return &scheduleOutput{Body: all[i]}, nil
}

func (a *api) putSchedule(ctx context.Context, in *putScheduleInput) (*scheduleOutput, error) {
	s := in.Body
	if s.Name != in.Name {
		return nil, &service.InvalidError{Field: "name", Err: fmt.Errorf("changing schedule %q: the body is of %q: give both the same name", in.Name, s.Name)}
	}
	s.Last, s.Next, s.Told = nil, nil, "" // the service's to know
	s, err := a.service.PutSchedule(ctx, s)
	return &scheduleOutput{Body: s}, err
}
