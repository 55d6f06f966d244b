package api

import (
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

func TestTheOpenAPIDocumentIsCommitted(t *testing.T) {
	a := newAPI(Options{Service: newFake(), Version: "1"})
	d, err := a.document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", d.json, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	committed, err := os.ReadFile("openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	if string(committed) != string(d.json) {
		t.Error("openapi.json is not what the code says: go test ./builder/service/api -update")
	}
	if len(d.yaml) == 0 {
		t.Error("no YAML")
	}
}

// operations are all of the document, with paths that can be asked for.
func operations(a *api) map[string]*huma.Operation {
	all := map[string]*huma.Operation{}
	for path, item := range a.OpenAPI().Paths {
		path = strings.NewReplacer("/builds/{id}", "/builds/42", "artefacts/{name}", "artefacts/lock", "recipes/{name}", "recipes/busybox",
			"schedules/{name}", "schedules/nightly", "webhooks/{name}", "webhooks/hub").Replace(path)
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "DELETE": item.Delete, "PATCH": item.Patch} {
			if op != nil {
				all[method+" "+path] = op
			}
		}
	}
	return all
}

var bodies = map[string]string{
	"POST /api/v1/builds":           `{"recipes":["busybox"]}`,
	"PUT /api/v1/schedules/nightly": `{"name":"nightly","cron":"@daily","recipes":["*"],"when":"always"}`,
}

func TestEveryOperationIsRefusedWithoutItsRole(t *testing.T) {
	s := serve(t, nil)
	s.fake.add(true, "line\n")
	all := operations(s.api)
	if len(all) < 20 {
		t.Errorf("the document has %d operations", len(all))
	}
	open := 0
	for what, op := range all {
		if op.Summary == "" || len(op.Tags) == 0 {
			t.Errorf("%s has no summary or tag", what)
		}
		wanted, ok := op.Extensions["x-role"].(access.Role)
		if !ok {
			open++
			continue
		}
		for _, role := range append([]access.Role{access.Nobody}, access.Roles...) {
			if role.Allows(wanted) {
				if resp, text := s.ask(what, string(role), bodies[what]); resp.StatusCode >= 300 {
					t.Errorf("%s as %q: %d %s", what, role, resp.StatusCode, text)
				}
				continue
			}
			status := http.StatusForbidden
			if role == access.Nobody {
				status = http.StatusUnauthorized
			}
			if text := s.want(status, what, string(role), bodies[what]); !strings.Contains(text, string(wanted)) {
				t.Errorf("%s as %q does not say which role is wanted: %s", what, role, text)
			}
		}
	}
	if open != 2 || all["GET /healthz"] == nil || all["POST /webhooks/hub"] == nil {
		t.Errorf("%d operations want no role; only health and webhooks may", open)
	}
	if resp, _ := s.ask("GET /metrics", "", ""); resp.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Error("401 without WWW-Authenticate")
	}
}

func TestErrorsOfTheServiceAreProblems(t *testing.T) {
	for _, tt := range []struct {
		err    error
		status int
		says   string
	}{
		{&service.NotFoundError{What: "build 42"}, 404, "looking for build 42"},
		{&service.InvalidError{Field: "options.mode", Err: errors.New("bad mode")}, 422, `"location":"body.options.mode"`},
		{&service.ConflictError{Err: errors.New("has ended")}, 409, "has ended"},
		{&service.UnavailableError{Err: errors.New("queue is full"), After: 90 * time.Second}, 503, "queue is full"},
		{errors.New("secret /var/lib/x"), 500, "reference"},
	} {
		s := serve(t, nil)
		s.fake.err = tt.err
		for what := range operations(s.api) {
			if strings.Contains(what, "healthz") || strings.Contains(what, "openapi") || strings.Contains(what, "metrics") || strings.Contains(what, "webhooks") {
				continue
			}
			text := s.want(tt.status, what, "admin", bodies[what])
			if !strings.Contains(text, tt.says) || strings.Contains(text, "secret") {
				t.Errorf("%s: %s", what, text)
			}
		}
		if logged := strings.Contains(s.log.String(), "secret"); logged != (tt.status == 500) {
			t.Errorf("%v: logged: %v", tt.err, logged)
		}
		resp, _ := s.ask("GET /api/v1/state", "read", "")
		if after := resp.Header.Get("Retry-After"); (after == "90") != (tt.status == 503) {
			t.Errorf("%v: Retry-After %q", tt.err, after)
		}
		s.want(503, "GET /healthz", "", "")
	}
}

func TestWrongInputIsTheClientsMistake(t *testing.T) {
	s := serve(t, nil)
	big := strings.Repeat("9", 40)
	for what, status := range map[string]int{
		"GET /api/v1/builds/0": 422, "GET /api/v1/builds/-1": 422, "GET /api/v1/builds/x": 422, "GET /api/v1/builds/" + big: 422,
		"GET /api/v1/builds/9223372036854775807": 404, "POST /api/v1/builds/7/cancel": 404, "POST /api/v1/builds/" + big + "/retry": 422,
		"GET /api/v1/builds?limit=0": 422, "GET /api/v1/builds?limit=501": 422, "GET /api/v1/builds?limit=" + big: 422, "GET /api/v1/builds?limit=-5": 422,
		"GET /api/v1/builds?before=-1": 422, "GET /api/v1/builds?status=odd": 422, "GET /api/v1/builds?odd=1": 422,
		"GET /api/v1/builds/42/events?after=-1": 422, "GET /api/v1/builds/42/log?follow=maybe": 422,
		"GET /api/v1/builds/42/artefacts/passwd": 422, "GET /api/v1/recipes/none": 404, "GET /api/v1/recipes/%00": 404,
		"GET /api/v1/schedules/none": 404, "GET /api/v1/schedules/..%2fx": 422, "DELETE /api/v1/schedules/none": 404,
		"GET /api/v1/nothing": 404, "GET /nothing": 404, "PATCH /api/v1/builds": 405, "DELETE /healthz": 405,
	} {
		s.want(status, what, "admin", "")
	}
	for _, tt := range []struct {
		what, body string
		status     int
	}{
		{"POST /api/v1/builds", "", 400},
		{"POST /api/v1/builds", "{", 400},
		{"POST /api/v1/builds", "null", 422},
		{"POST /api/v1/builds", `{"odd":1}`, 422},
		{"POST /api/v1/builds", `{"recipes":"x"}`, 422},
		{"POST /api/v1/builds", `{"recipes":["x"],"options":{"mode":"odd"}}`, 422},
		{"POST /api/v1/builds", `{"upload":{"recipes":["a"],"files":[{"path":"a","content":"%%%"}]}}`, 422},
		{"POST /api/v1/builds", `{"upload":{"recipes":["a"],"files":[{"path":"a","content":"","mode":-1}]}}`, 422},
		{"POST /api/v1/builds", strings.Repeat("[", 20000), 400},
		{"PUT /api/v1/schedules/nightly", `{"name":"other","cron":"@daily","recipes":["*"],"when":"always"}`, 422},
		{"PUT /api/v1/schedules/nightly", `{"name":"nightly","cron":"@daily","recipes":["*"],"when":"never"}`, 422},
		{"PUT /api/v1/schedules/nightly", `{"name":"nightly","cron":"` + strings.Repeat("*", 70<<10) + `"}`, 413},
	} {
		s.want(tt.status, tt.what, "admin", tt.body)
	}
	s.want(415, "POST /api/v1/builds", "build", `{}`, "Content-Type", "text/plain")
	if text := s.want(400, "POST /api/v1/builds", "build", `{"token":"hunter2`); strings.Contains(text, "hunter2") {
		t.Errorf("the input is repeated: %s", text)
	}
	if text := s.want(405, "PATCH /api/v1/builds", "admin", ""); !strings.Contains(text, "POST") {
		t.Errorf("405 without the methods: %s", text)
	}
}

func TestSubmittingAndListing(t *testing.T) {
	s := serve(t, nil)
	resp, text := s.ask("POST /api/v1/builds", "build", `{"recipes":["busybox"],"options":{"push":["r:1"]}}`)
	if resp.StatusCode != 202 || resp.Header.Get("Location") != "/api/v1/builds/42" || !strings.Contains(text, `"client":"tester"`) || !strings.Contains(text, `"cause":"api"`) {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, text)
	}
	resp, text = s.ask("GET /api/v1/builds?limit=3&status=failed,queued&recipe=a%26b", "read", "")
	next := "/api/v1/builds?before=98&limit=3&recipe=a%26b&status=failed%2Cqueued"
	if resp.Header.Get("Link") != "<"+next+`>; rel="next"` || !strings.Contains(text, `"next":"`) {
		t.Errorf("%q %s", resp.Header.Get("Link"), text)
	}
	if f := s.fake.filter; len(f.Status) != 2 || f.Recipe != "a&b" || f.Limit != 3 {
		t.Errorf("%+v", f)
	}
	s.want(200, "GET "+next, "read", "")
	if s.fake.filter.Before != 98 || len(s.fake.filter.Status) != 2 {
		t.Errorf("%+v", s.fake.filter)
	}
	if text := s.want(200, "GET /api/v1/builds", "read", ""); strings.Contains(text, "next") || s.fake.filter.Limit != 50 {
		t.Errorf("%s", text)
	}
	s.want(200, "POST /api/v1/builds/42/cancel", "build", "")
	if s.fake.by != "tester" {
		t.Errorf("cancelled by %q", s.fake.by)
	}
	if text := s.want(200, "GET /api/v1/recipes/busybox", "read", ""); !strings.Contains(text, `"version":"2"`) {
		t.Errorf("%s", text)
	}
	if text := s.want(200, "GET /api/v1/recipes/busybox?from=catalog", "read", ""); !strings.Contains(text, `"version":"1"`) {
		t.Errorf("%s", text)
	}
	s.want(200, "PUT /api/v1/schedules/nightly", "admin", `{"name":"nightly","cron":"@daily","recipes":["*"],"when":"always","told":"x","next":"2026-01-01T00:00:00Z"}`)
	if s.fake.schedule.Told != "" || s.fake.schedule.Next != nil {
		t.Errorf("%+v", s.fake.schedule)
	}
	s.want(204, "DELETE /api/v1/schedules/nightly", "admin", "")
}

func TestAPanicIsAProblem(t *testing.T) {
	s := serve(t, func(a *api) { a.service = nil })
	s.want(500, "GET /api/v1/state", "read", "")
	if !strings.Contains(s.log.String(), "nil pointer") {
		t.Errorf("%s", s.log)
	}
}

func TestMetrics(t *testing.T) {
	s := serve(t, nil)
	began := time.Now()
	ended := began.Add(time.Minute)
	s.api.metrics.Ended(service.Build{Status: service.Failed, Started: &began, Ended: &ended})
	s.want(404, "GET /api/v1/builds/7", "read", "")
	s.want(404, "GET /nothing", "read", "")
	text := s.want(200, "GET /metrics", "read", "")
	for _, line := range []string{
		`riscv_build_builds{status="queued"} 3`, "riscv_build_queue_length 3", `riscv_build_build_seconds_sum{status="failed"} 60`, "riscv_build_free_bytes 5", "riscv_build_up 1", "riscv_build_followers 0",
		`riscv_build_http_requests_total{code="404",operation="get-build"} 1`, `riscv_build_http_requests_total{code="404",operation="none"} 1`,
		`riscv_build_http_request_seconds_count{operation="get-build"} 1`, "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %s in the metrics", line)
		}
	}
}
