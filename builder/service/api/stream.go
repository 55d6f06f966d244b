package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

// page is how many events are read at a time.
const page = 256

type eventsInput struct {
	ID    int64 `path:"id" minimum:"1" example:"42" doc:"number of the build"`
	After int64 `query:"after" minimum:"0" doc:"only events after this number"`
	Last  int64 `header:"Last-Event-ID" minimum:"0" doc:"the same, as browsers send it; counts more than after"`
}

type logInput struct {
	ID     int64 `path:"id" minimum:"1" example:"42" doc:"number of the build"`
	Follow bool  `query:"follow" doc:"send what there is as it comes, until the build has ended"`
}

type artefactInput struct {
	ID   int64  `path:"id" minimum:"1" example:"42" doc:"number of the build"`
	Name string `path:"name" enum:"lock,graph,log,report"`
}

// streamOutput is an answer that is written bit by bit.
type streamOutput struct {
	Status int
	Body   func(huma.Context)
}

func (a *api) registerStreams() {
	for _, t := range []reflect.Type{
		reflect.TypeFor[service.Event](), reflect.TypeFor[service.StatusData](), reflect.TypeFor[service.StageData](),
		reflect.TypeFor[service.NoticeData](), reflect.TypeFor[service.VertexData](), reflect.TypeFor[service.LogData](),
	} {
		a.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
	}
	events := content(http.StatusOK, "text/event-stream", &huma.Schema{Type: huma.TypeString,
		Description: "id: number of the event; event: its kind (status, stage, notice, vertex, log); data: the event as JSON in one line, " +
			"of the schema Event, whose data is of StatusData, StageData, NoticeData, VertexData or LogData"})
	events["200"].Content["text/event-stream"].Example = "id: 7\nevent: stage\ndata: {\"build\":42,\"seq\":7,\"time\":\"2026-01-31T12:00:00Z\",\"kind\":\"stage\",\"data\":{\"stage\":\"engine\"}}\n\n"
	events["204"] = &huma.Response{Description: "there is no event after that one, and there will be none"}
	register(a, access.Read, huma.Operation{
		OperationID: "follow-build", Method: http.MethodGet, Path: prefix + "/builds/{id}/events", Tags: []string{buildsTag},
		Summary: "Follow the events of a build", Responses: events, Errors: []int{http.StatusNotFound},
		Description: "Server-sent events, numbered 1, 2, 3, ... without a gap. The stream ends after the last event of a build that has ended, " +
			"and can be resumed after any event. A follower that takes nothing for 30 s is cut off.",
	}, a.events)
	register(a, access.Read, huma.Operation{
		OperationID: "get-log", Method: http.MethodGet, Path: prefix + "/builds/{id}/log", Tags: []string{buildsTag},
		Summary: "Show the log of a build", Errors: []int{http.StatusNotFound},
		Responses: content(http.StatusOK, "text/plain; charset=utf-8", &huma.Schema{Type: huma.TypeString}),
	}, a.logText)
	files := content(http.StatusOK, "application/json", &huma.Schema{Description: "graph, report"})
	files["200"].Content["application/toml"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: "lock"}}
	files["200"].Content["text/plain; charset=utf-8"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: "log"}}
	register(a, access.Read, huma.Operation{
		OperationID: "get-artefact", Method: http.MethodGet, Path: prefix + "/builds/{id}/artefacts/{name}", Tags: []string{buildsTag},
		Summary: "Get what a build has left: its lock, graph, log or report", Responses: files, Errors: []int{http.StatusNotFound},
	}, func(ctx context.Context, in *artefactInput) (*streamOutput, error) {
		return a.artefact(ctx, in.ID, in.Name)
	})
}

func (a *api) events(ctx context.Context, in *eventsInput) (*streamOutput, error) {
	after := in.After
	if in.Last > 0 {
		after = in.Last
	}
	return a.follow(ctx, follower{
		build: in.ID, after: after, contentType: "text/event-stream", form: serverSent, life: []byte(":\n\n"),
		first: []byte("retry: 2000\n\n"),
	})
}

// serverSent is the form of an event in a text/event-stream.
func serverSent(out []byte, e service.Event) []byte {
	data, err := json.Marshal(e)
	if err != nil {
		data = []byte("null") // Data is JSON, or the store would not have it
	}
	return fmt.Appendf(out, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Kind, data)
}

func (a *api) logText(ctx context.Context, in *logInput) (*streamOutput, error) {
	if !in.Follow {
		return a.artefact(ctx, in.ID, service.LogArtefact)
	}
	return a.follow(ctx, follower{build: in.ID, contentType: "text/plain; charset=utf-8", form: plainText})
}

// plainText is what a terminal would show of an event.
func plainText(out []byte, e service.Event) []byte {
	var d struct {
		service.LogData
		service.StatusData
		Stage string `json:"stage"`
	}
	if json.Unmarshal(e.Data, &d) != nil {
		return out
	}
	switch e.Kind {
	case service.LogEvent:
		return append(out, d.Text...)
	case service.NoticeEvent:
		return append(append(out, d.Text...), '\n')
	case service.StageEvent:
		return fmt.Appendf(out, "== %s\n", d.Stage)
	case service.StatusEvent:
		out = fmt.Appendf(out, "== %s", d.Status)
		if d.Error != "" {
			out = fmt.Appendf(out, ": %s", d.Error)
		}
		return append(out, '\n')
	}
	return out
}

// follower is somebody who follows a build.
type follower struct {
	build, after int64
	contentType  string
	form         func([]byte, service.Event) []byte
	first, life  []byte // sent at first, and as signs of life
}

// follow answers with all events of a build after one, until it has ended.
func (a *api) follow(ctx context.Context, f follower) (*streamOutput, error) {
	events, wait, err := a.service.Events(ctx, f.build, f.after, page)
	if err != nil {
		return nil, err
	}
	if len(events) == 0 && wait == nil {
		return &streamOutput{Status: http.StatusNoContent, Body: func(ctx huma.Context) { ctx.SetStatus(http.StatusNoContent) }}, nil
	}
	if a.followers.Add(1) > a.maxFollowers {
		a.followers.Add(-1)
		return nil, later(0, "%d streams are open already: close some, or try again later", a.maxFollowers)
	}
	return &streamOutput{Body: func(hctx huma.Context) {
		defer a.followers.Add(-1)
		w := a.begin(ctx, f.contentType)
		if w.send(f.first) == nil && !answerOf(ctx).head {
			a.relay(ctx, w, f)
		}
	}}, nil
}

// sendBytes is about how much is sent to a follower at once: hundreds of them
// keep as much in memory while they are sent to.
const sendBytes = 32 << 10

// relay sends events until there are no more, or the follower is gone.
func (a *api) relay(ctx context.Context, w *stream, f follower) {
	var out []byte
	for {
		events, wait, err := a.service.Events(ctx, f.build, f.after, page)
		if err != nil {
			if ctx.Err() == nil {
				a.log.WarnContext(ctx, "reading events for a follower, who will ask again", "build", f.build, "error", err)
			}
			panic(http.ErrAbortHandler) // so that it does not look like the end
		}
		out = out[:0]
		for i, e := range events {
			out, f.after = f.form(out, e), e.Seq
			if len(out) < sendBytes && i < len(events)-1 {
				continue
			}
			if w.send(out) != nil {
				panic(http.ErrAbortHandler)
			}
			out = out[:0]
		}
		switch {
		case len(events) > 0:
		case wait == nil:
			return
		case !a.wait(ctx, wait, func() error { return w.send(f.life) }):
			panic(http.ErrAbortHandler)
		}
	}
}

// wait waits for more, with signs of life; it is false if the follower is gone.
func (a *api) wait(ctx context.Context, more <-chan struct{}, live func() error) bool {
	tick := time.NewTicker(a.heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-more:
			return true
		case <-ctx.Done():
			return false
		case <-tick.C:
			if live() != nil {
				return false
			}
		}
	}
}

// contentTypes are those of artefacts.
var contentTypes = map[string]string{
	service.LockArtefact: "application/toml", service.GraphArtefact: "application/json",
	service.LogArtefact: "text/plain; charset=utf-8", service.ReportArtefact: "application/json",
}

func (a *api) artefact(ctx context.Context, build int64, name string) (*streamOutput, error) {
	file, err := a.service.Artefact(ctx, build, name)
	if err != nil {
		return nil, err
	}
	return &streamOutput{Body: func(huma.Context) {
		defer file.Close()
		if _, err := io.Copy(a.begin(ctx, contentTypes[name]), file); err != nil {
			if ctx.Err() == nil {
				a.log.WarnContext(ctx, "sending an artefact", "build", build, "name", name, "error", err)
			}
			panic(http.ErrAbortHandler) // so that it does not look complete
		}
	}}, nil
}

// stream writes to a client, and gives up on one that does not take it.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (a *api) begin(ctx context.Context, contentType string) *stream {
	w := answerOf(ctx)
	w.stream = true
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Accel-Buffering", "no") // of a proxy in front
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, control: http.NewResponseController(w), timeout: a.writeTimeout}
}

func (s *stream) Write(p []byte) (int, error) {
	s.control.SetWriteDeadline(time.Now().Add(s.timeout)) //nolint:errcheck // tests without a connection
	return s.w.Write(p)
}

// send writes at once. Afterwards nothing is late: HTTP/2 would end the stream
// when the deadline passes, written to or not.
func (s *stream) send(p []byte) error {
	if len(p) > 0 {
		if _, err := s.Write(p); err != nil {
			return err
		}
	}
	if err := s.control.Flush(); err != nil {
		return err
	}
	return s.control.SetWriteDeadline(time.Time{})
}
