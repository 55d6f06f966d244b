package service

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// operation is one of the OpenAPI document.
type operation struct {
	method, path string
	item         *openapi3.PathItem
	*openapi3.Operation
}

func (o operation) String() string { return o.method + " " + o.path }

// document reads the OpenAPI document as the service gives it.
func (d *daemon) document() *openapi3.T {
	d.t.Helper()
	a := d.call(reader, http.MethodGet, api+"/openapi.json", nil)
	if a.status != http.StatusOK {
		d.t.Fatalf("the OpenAPI document: %s", a)
	}
	doc, err := openapi3.NewLoader().LoadFromData(a.body)
	if err != nil {
		d.t.Fatalf("reading the OpenAPI document: %v", err)
	}
	return doc
}

// operations are all of a document, sorted.
func operations(t *testing.T, doc *openapi3.T) []operation {
	t.Helper()
	var all []operation
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			all = append(all, operation{method, path, item, op})
		}
	}
	slices.SortFunc(all, func(a, b operation) int {
		return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method))
	})
	if len(all) < 18 {
		t.Fatalf("the document has %d operations: %v", len(all), all)
	}
	return all
}

// filled is the path of an operation with values for its parameters.
func (o operation) filled(value func(p *openapi3.Parameter) string) string {
	path := o.path
	for _, ref := range append(slices.Clone(o.item.Parameters), o.Parameters...) {
		if ref.Value.In == openapi3.ParameterInPath {
			path = strings.ReplaceAll(path, "{"+ref.Value.Name+"}", value(ref.Value))
		}
	}
	return path
}

// TestDocument: what the lines stand on. The document is one, and names what the issue asks for.
func TestDocument(t *testing.T) {
	d := startDaemon(t, daemonOptions{})
	doc := d.document()
	if err := doc.Validate(t.Context()); err != nil {
		t.Errorf("the OpenAPI document: %v", err)
	}
	have := map[string]bool{}
	for _, o := range operations(t, doc) {
		have[o.String()] = true
	}
	for _, want := range []string{
		"POST /api/v1/builds", "GET /api/v1/builds", "GET /api/v1/builds/{id}", "POST /api/v1/builds/{id}/cancel", "POST /api/v1/builds/{id}/retry",
		"GET /api/v1/builds/{id}/events", "GET /api/v1/builds/{id}/log", "GET /api/v1/builds/{id}/artefacts/{name}", "GET /api/v1/recipes",
		"GET /api/v1/schedules", "PUT /api/v1/schedules/{name}", "DELETE /api/v1/schedules/{name}", "GET /api/v1/outdated",
		"GET /api/v1/registry/images", "GET /api/v1/state", "GET /healthz", "GET /metrics", "POST /webhooks/{name}",
	} {
		if !have[want] {
			t.Errorf("the document has no %s", want)
		}
	}
}
