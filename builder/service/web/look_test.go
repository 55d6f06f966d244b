package web

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

var look = flag.String("look", "", "serve the pages with samples at `ADDRESS`, for TestLook")

// TestLook puts the samples together and, with an address, serves the pages for
// people who want to see them:
//
//	go test ./builder/service/web -run TestLook -look 127.0.0.1:8099 -timeout 0
//
// As nobody.localhost they are those for people who are not known, as
// empty.localhost those of a service that has done nothing yet.
func TestLook(t *testing.T) {
	f := newFake(120)
	h := newSite(t, f)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/builds/{id}/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := 1; r.Context().Err() == nil; i++ {
			text := fmt.Sprintf(`{"seq":%d,"kind":"log","data":{"vertex":%q,"stream":1,"text":"live line %d\n"}}`, 1_000_000+i, id("compile "+attack), i)
			_, _ = io.WriteString(w, "event: log\ndata: "+text+"\n\n")
			w.(http.Flusher).Flush()
			time.Sleep(500 * time.Millisecond)
		}
	})
	nothing := newFake(0)
	nothing.builds, nothing.newest, nothing.schedules, nothing.recipes, nothing.report, nothing.state = nil, 0, nil, nil, service.OutdatedReport{}, service.State{}
	empty := newSite(t, nothing)
	mux.HandleFunc("nobody.localhost/", h.ServeHTTP)
	mux.HandleFunc("empty.localhost/", func(w http.ResponseWriter, r *http.Request) {
		empty.ServeHTTP(w, r.WithContext(access.With(r.Context(), access.Identity{Name: "alice", Role: access.Admin})))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r.WithContext(access.With(r.Context(), access.Identity{Name: "alice", Role: access.Admin})))
	})
	if *look != "" {
		t.Fatal(http.ListenAndServe(*look, mux))
	}
}
