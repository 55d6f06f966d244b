package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/riscv-build/riscv-build/builder/service/access"
)

// Names in the OpenAPI document.
const (
	bearerScheme  = "token"
	webhookScheme = "signature"

	buildsTag    = "builds"
	recipesTag   = "recipes"
	schedulesTag = "schedules"
	serviceTag   = "service"
)

const prefix = "/api/v1"

// configuration is that of the library, without what it would serve by itself
// to everybody.
func configuration(version string) huma.Config {
	config := huma.DefaultConfig("riscv-build", version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{withoutValues}
	config.Info.Description = "Builds tested container images for linux/riscv64 from recipes. " +
		"Errors are problem documents (RFC 9457). x-role says which role an operation wants; admin may do what build may, and build what read may."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.Servers = []*huma.Server{{URL: "/", Description: "where this document is from"}}
	config.Tags = []*huma.Tag{
		{Name: buildsTag, Description: "images that somebody asked for"},
		{Name: recipesTag, Description: "what can be built by its name"},
		{Name: schedulesTag, Description: "what is built when"},
		{Name: serviceTag, Description: "how the service is doing"},
	}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		bearerScheme: {Type: "http", Scheme: "bearer", Description: "a token of the service"},
		webhookScheme: {Type: "apiKey", In: "header", Name: "X-Hub-Signature-256",
			Description: "HMAC-SHA256 of the body with the webhook's secret, as sha256=HEX; Gitea sends X-Gitea-Signature, others X-Signature-256"},
	}
	return config
}

// documents are the forms of the OpenAPI document.
type documents struct{ json, yaml []byte }

func render(o *huma.OpenAPI) (documents, error) {
	var d documents
	var err error
	if d.json, err = json.MarshalIndent(o, "", "  "); err != nil {
		return d, fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	d.json = append(d.json, '\n')
	if d.yaml, err = o.YAML(); err != nil {
		return d, fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	return d, nil
}

// bytesOutput is an answer that is sent as it stands.
type bytesOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (a *api) registerDocument() {
	serve := func(form, contentType string, schema *huma.Schema, part func(documents) []byte) {
		register(a, access.Read, huma.Operation{
			OperationID: "openapi-" + form, Method: http.MethodGet, Path: prefix + "/openapi." + form, Tags: []string{serviceTag},
			Summary: "This document", Responses: content(http.StatusOK, contentType, schema),
		}, func(context.Context, *struct{}) (*bytesOutput, error) {
			d, err := a.document()
			return &bytesOutput{ContentType: contentType, Body: part(d)}, err
		})
	}
	serve("json", "application/openapi+json", &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}, func(d documents) []byte { return d.json })
	serve("yaml", "application/openapi+yaml", &huma.Schema{Type: huma.TypeString}, func(d documents) []byte { return d.yaml })
}

// content documents an answer that is not JSON of a type.
func content(status int, contentType string, schema *huma.Schema) map[string]*huma.Response {
	return map[string]*huma.Response{fmt.Sprint(status): {
		Description: http.StatusText(status), Content: map[string]*huma.MediaType{contentType: {Schema: schema}},
	}}
}
