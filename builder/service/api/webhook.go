package api

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

const (
	maxDelivery    = 5 << 20 // bytes
	deliveriesKept = 1000
	deliveriesAge  = 24 * time.Hour
)

type deliveryInput struct {
	Name            string `path:"name" maxLength:"64" doc:"name of the webhook"`
	GitHubEvent     string `header:"X-GitHub-Event"`
	GitHubDelivery  string `header:"X-GitHub-Delivery"`
	GitHubSignature string `header:"X-Hub-Signature-256"`
	GiteaEvent      string `header:"X-Gitea-Event"`
	GiteaDelivery   string `header:"X-Gitea-Delivery"`
	GiteaSignature  string `header:"X-Gitea-Signature"`
	Event           string `header:"X-Event" doc:"of a generic delivery; default push"`
	Delivery        string `header:"X-Delivery" doc:"of a generic delivery: a number or name that no other has"`
	Signature       string `header:"X-Signature-256"`
	RawBody         []byte `contentType:"application/json"`
}

type deliveryOutput struct {
	Status int
	Body   struct {
		Builds  []service.Build `json:"builds" nullable:"false" doc:"what was asked for because of it"`
		Ignored string          `json:"ignored,omitempty" doc:"why nothing was"`
	}
}

func (a *api) registerWebhooks() {
	register(a, access.Nobody, huma.Operation{
		OperationID: "webhook", Method: http.MethodPost, Path: "/webhooks/{name}", Tags: []string{buildsTag},
		Summary: "Tell of a push to the repository of the recipes", DefaultStatus: http.StatusAccepted,
		Description: "GitHub and Gitea send it. A generic delivery is JSON: urls (of the repository), ref (refs/heads/main), commit, " +
			"paths (that changed; absent: not known).",
		Security:     []map[string][]string{{webhookScheme: {}}},
		MaxBodyBytes: maxDelivery, BodyReadTimeout: bodyTimeout, Errors: []int{http.StatusUnauthorized, http.StatusUnprocessableEntity},
		SkipValidateBody: true, // what it is depends on the sender
	}, a.delivery)
	op := a.OpenAPI().Paths["/webhooks/{name}"].Post
	op.Responses["200"] = &huma.Response{Description: "A ping", Content: op.Responses["202"].Content}
	// The library knows a body that it leaves alone as a string only.
	op.RequestBody.Content["application/json"] = &huma.MediaType{
		Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true},
		Example: map[string]any{"urls": []string{"https://git.example.org/recipes.git"}, "ref": "refs/heads/main",
			"commit": "0123456789abcdef0123456789abcdef01234567", "paths": []string{"nginx.toml"}},
	}
}

// sent picks what a kind of sender says of its delivery.
func (in *deliveryInput) sent(kind string) (event, id, signature string) {
	switch kind {
	case GitHub:
		return in.GitHubEvent, in.GitHubDelivery, in.GitHubSignature
	case Gitea:
		return in.GiteaEvent, in.GiteaDelivery, in.GiteaSignature
	}
	if in.Event == "" {
		in.Event = "push"
	}
	return in.Event, in.Delivery, in.Signature
}

func (a *api) delivery(ctx context.Context, in *deliveryInput) (*deliveryOutput, error) {
	hook, ok := a.hooks[in.Name]
	event, id, signature := in.sent(hook.Kind)
	if !signed(hook.Secret, in.RawBody, signature) || !ok {
		a.log.WarnContext(ctx, "refusing a webhook delivery: its signature is not of the secret", "webhook", in.Name, "known", ok)
		return nil, fault(http.StatusUnauthorized, "there is no webhook %q, or the delivery is not signed with its secret: give both sides the same one", in.Name)
	}
	var out deliveryOutput
	out.Body.Builds = []service.Build{}
	switch {
	case event == "ping":
		out.Status, out.Body.Ignored = http.StatusOK, "a ping"
		return &out, nil
	case event != "push":
		out.Status, out.Body.Ignored = http.StatusAccepted, "only pushes matter"
		return &out, nil
	}
	push, err := parsePush(hook, in.RawBody)
	if err != nil {
		return nil, err
	}
	out.Status = http.StatusAccepted
	if push.Commit == "" {
		out.Body.Ignored = "a branch was removed"
		return &out, nil
	}
	keys := []string{"body " + hook.Name + " " + signature}
	if id != "" {
		keys = append(keys, "id "+hook.Name+" "+id)
	}
	if !a.seen.begin(keys) {
		out.Body.Ignored = "it came before"
		return &out, nil
	}
	all, err := a.service.Pushed(ctx, push)
	if err != nil {
		a.seen.forget(keys) // it may come again
		return nil, err
	}
	out.Body.Builds = append(out.Body.Builds, all...)
	return &out, nil
}

// signed checks the HMAC of a delivery, in constant time.
func signed(secret, body []byte, signature string) bool {
	given, err := hex.DecodeString(strings.TrimPrefix(signature, "sha256="))
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return hmac.Equal(given, mac.Sum(nil)) && err == nil && len(secret) > 0
}

// deliveries are those of late, so that one that is sent again by whoever has
// seen it does nothing. A signature is remembered too: unlike an id, it cannot
// be another one for the same body.
type deliveries struct {
	mu   sync.Mutex
	at   map[string]time.Time
	keys []string // the oldest first
}

// begin remembers a delivery; it is false if that came before.
func (d *deliveries) begin(keys []string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, k := range keys {
		if at, ok := d.at[k]; ok && now.Sub(at) < deliveriesAge {
			return false
		}
	}
	if d.at == nil {
		d.at = map[string]time.Time{}
	}
	for _, k := range keys {
		d.at[k] = now
		d.keys = append(d.keys, k)
	}
	for len(d.keys) > 2*deliveriesKept {
		delete(d.at, d.keys[0])
		d.keys = d.keys[1:]
	}
	return true
}

func (d *deliveries) forget(keys []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range keys {
		delete(d.at, k)
	}
}
