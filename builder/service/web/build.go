package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
)

// The states of a step.
const (
	stepWaiting = "waiting"
	stepRunning = "running"
	stepDone    = "done"
	stepCached  = "cached"
	stepFailed  = "failed"
	stepSkipped = "skipped" // the build ended without it
)

// buildPage is one build.
type buildPage struct {
	Build   service.Build
	Of      service.Build // whose graph and log are shown: the build itself, or the one that is made for both
	Live    bool
	Seq     int64 // of the last event that is shown
	Events  string
	Poll    string
	Stages  []stageView
	Steps   []stepView
	Sources []stepView // steps that only bring bytes
	Logs    []stepView
	Drawing *drawing // nil: nothing to draw, or too much
	Notices []string
	Bytes   int64 // of the image's layers
	Passed  int   // tests
	Broken  int   // tests
}

// stageView is one of builder.Stages.
type stageView struct {
	Name    string
	State   string
	Seconds float64
	Share   float64 // of the longest, 0..100
}

// stepView is a step as a page shows it.
type stepView struct {
	ID      string // for links in the page
	Digest  string
	Name    string
	State   string
	Seconds float64
	Inputs  []string   // digests
	From    []stepLink // the first of them
	More    int        // inputs
	Error   string
	Lines   []string
	Total   int
	Open    bool
}

// linksShown is how many inputs of a step its row names.
const linksShown = 6

// stepLink leads to a step.
type stepLink struct{ ID, Name string }

// Last is the line that is seen while the log is folded up.
func (s stepView) Last() string {
	for _, line := range slices.Backward(s.Lines) {
		if strings.TrimSpace(line) != "" {
			return line
		}
	}
	return ""
}

// Left is how many lines only the whole log has.
func (s stepView) Left() int { return s.Total - len(s.Lines) }

func (s *site) showBuild(v *visit) error {
	id, err := v.id()
	if err != nil {
		return err
	}
	b, err := s.Service.Build(v.r.Context(), id)
	if err != nil {
		return err
	}
	of, err := s.made(v, b)
	if err != nil {
		return err
	}
	p := buildPage{
		Build: b, Of: of, Live: !b.Status.Final(),
		Events: fmt.Sprintf("/api/v1/builds/%d/events", of.ID), Poll: buildPath(id) + "?part=live",
	}
	if err := s.fill(v, &p); err != nil {
		return err
	}
	title := v.lang.text("build.title", fmt.Sprint(b.ID), b.Recipe)
	return v.show(http.StatusOK, "build", frame{Title: title, Section: "builds", Page: p})
}

// made is the build that is made for one: itself, or the one it is the same as
// as long as that is not forgotten.
func (s *site) made(v *visit, b service.Build) (service.Build, error) {
	if b.SameAs == 0 {
		return b, nil
	}
	of, err := s.Service.Build(v.r.Context(), b.SameAs)
	var missing *service.NotFoundError
	if errors.As(err, &missing) {
		return b, nil
	}
	return of, err
}

// fill adds what the build's events say.
func (s *site) fill(v *visit, p *buildPage) error {
	f := s.folds.of(p.Of.ID)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.update(v.r.Context(), s.Service); err != nil {
		return err
	}
	p.Seq, p.Notices = f.seq, slices.Clone(f.notices)
	now := s.now()
	if p.Of.Ended != nil {
		now = *p.Of.Ended
	}
	p.Stages = f.stageViews(p.Of, now)
	all := f.stepViews(p.Of.Status.Final(), now)
	for i, st := range all {
		if st.ID == "" {
			all[i].Name = v.lang.text("log.general")
		}
		if st.Total > 0 {
			p.Logs = append(p.Logs, all[i])
		}
	}
	open(p.Logs)
	all = slices.DeleteFunc(all, func(st stepView) bool { return st.ID == "" })
	p.Drawing = draw(all)
	for _, st := range all {
		if f.byID[st.Digest].fetches() {
			p.Sources = append(p.Sources, st)
		} else {
			p.Steps = append(p.Steps, st)
		}
	}
	p.result()
	return nil
}

// result counts what the report of the build holds.
func (p *buildPage) result() {
	if p.Build.Result == nil {
		return
	}
	for _, l := range p.Build.Result.Layers {
		p.Bytes += l.Size
	}
	for _, t := range p.Build.Result.Tests {
		if t.OK {
			p.Passed++
		} else {
			p.Broken++
		}
	}
}

// open unfolds what one looks for: the logs of what failed or runs.
func open(logs []stepView) {
	for i := range logs {
		logs[i].Open = logs[i].State == stepFailed || logs[i].State == stepRunning
	}
}

// fetches tells whether a step only brings bytes. Their number says little, so
// they are told of in a table of their own.
func (st *step) fetches() bool {
	return st.kind == "source" || st.kind == "" && len(st.inputs) == 0
}

// title is what to call a step.
func (st *step) title() string {
	if st.name == "" {
		return short(st.id)
	}
	return st.name
}

func (st *step) state(final bool) string {
	switch {
	case st.err != "":
		return stepFailed
	case st.cached:
		return stepCached
	case st.completed != nil:
		return stepDone
	case final:
		return stepSkipped
	case st.started != nil:
		return stepRunning
	}
	return stepWaiting
}

func (f *fold) stepViews(final bool, now time.Time) []stepView {
	views := make([]stepView, 0, len(f.steps))
	for _, st := range f.steps {
		sv := stepView{Digest: st.id, Name: st.title(), State: st.state(final), Error: st.err, Lines: slices.Clone(st.tail()), Total: st.total}
		if st.id != "" {
			sv.ID = short(st.id)
		}
		if st.started != nil && sv.State != stepSkipped {
			end := now
			if st.completed != nil {
				end = *st.completed
			}
			sv.Seconds = max(0, end.Sub(*st.started).Seconds())
		}
		for _, in := range st.inputs {
			if !slices.Contains(sv.Inputs, in) && f.byID[in] != nil {
				sv.Inputs = append(sv.Inputs, in)
				sv.From = append(sv.From, stepLink{short(in), f.byID[in].title()})
			}
		}
		sv.More = max(0, len(sv.From)-linksShown)
		sv.From = sv.From[:len(sv.From)-sv.More]
		views = append(views, sv)
	}
	return views
}

// stageViews tells of every stage what the report says of it, or else the events.
func (f *fold) stageViews(b service.Build, now time.Time) []stageView {
	views := make([]stageView, len(builder.Stages))
	began := map[string]float64{}
	for i, st := range f.stages {
		end := now
		if i+1 < len(f.stages) {
			end = f.stages[i+1].at
		}
		began[st.name] = max(0, end.Sub(st.at).Seconds())
	}
	current := slices.Index(builder.Stages, b.Stage)
	longest := 0.0
	for i, name := range builder.Stages {
		sv := stageView{Name: name, State: stepWaiting, Seconds: began[name]}
		if b.Result != nil && b.Result.Stages[name] > 0 {
			sv.Seconds = b.Result.Stages[name]
		}
		switch {
		case b.Status == service.Succeeded || i < current:
			sv.State = stepDone
		case b.Status.Final() && i == current && b.Status == service.Failed:
			sv.State = stepFailed
		case b.Status.Final():
			sv.State = stepSkipped
		case i == current && b.Status == service.Running:
			sv.State = stepRunning
		}
		longest = max(longest, sv.Seconds)
		views[i] = sv
	}
	for i := range views {
		if longest > 0 {
			views[i].Share = 100 * views[i].Seconds / longest
		}
	}
	return views
}
