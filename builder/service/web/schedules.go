package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/builder/service"
)

// schedulesPage is the schedules, with the form for one.
type schedulesPage struct {
	Schedules []service.Schedule
	Form      scheduleForm
	Whens     []string
	Examples  []string // of times
}

// scheduleForm is the form for a schedule as it was filled in.
type scheduleForm struct {
	Edits   bool // one that there is: its name stands
	Name    string
	Cron    string
	Recipes string
	When    string
	Push    string
	Paused  bool
	Update  bool
	Error   string
}

var (
	conditions   = []string{service.Always, service.WhenOutdated, service.WhenSecurity}
	cronExamples = []string{"0 3 * * *", "30 2 * * 1", "0 */6 * * *", "@weekly"}
)

func (s *site) listSchedules(v *visit) error {
	return s.schedulesPage(v, http.StatusOK, scheduleForm{When: service.Always, Recipes: "*"})
}

func (s *site) schedulesPage(v *visit, status int, form scheduleForm) error {
	all, err := s.Service.Schedules(v.r.Context())
	if err != nil {
		return err
	}
	p := schedulesPage{Schedules: all, Form: form, Whens: conditions, Examples: cronExamples}
	return v.show(status, "schedules", frame{Title: v.lang.text("schedules.title"), Section: "schedules", Page: p})
}

// schedule finds the one that the path names.
func (v *visit) schedule() (service.Schedule, error) {
	all, err := v.Service.Schedules(v.r.Context())
	if err != nil {
		return service.Schedule{}, err
	}
	name := v.r.PathValue("name")
	i := slices.IndexFunc(all, func(s service.Schedule) bool { return s.Name == name })
	if i < 0 {
		return service.Schedule{}, &service.NotFoundError{What: fmt.Sprintf("schedule %q", name)}
	}
	return all[i], nil
}

func (s *site) editSchedule(v *visit) error {
	sch, err := v.schedule()
	if err != nil {
		return err
	}
	return s.schedulesPage(v, http.StatusOK, scheduleForm{
		Edits: true, Name: sch.Name, Cron: sch.Cron, Recipes: strings.Join(sch.Recipes, " "), When: sch.When,
		Push: strings.Join(sch.Options.Push, " "), Paused: sch.Paused, Update: sch.Options.Update,
	})
}

func (s *site) putSchedule(v *visit) error {
	if err := v.form(); err != nil {
		return err
	}
	post := v.r.PostForm
	form := scheduleForm{
		Edits: post.Has("edits"), Name: strings.TrimSpace(post.Get("name")), Cron: strings.TrimSpace(post.Get("cron")),
		Recipes: strings.Join(v.words("recipes"), " "), When: post.Get("when"), Push: strings.Join(v.words("push"), " "),
		Paused: post.Has("paused"), Update: post.Has("update"),
	}
	sch, err := s.wanted(v, form)
	if err == nil {
		_, err = s.Service.PutSchedule(v.r.Context(), sch)
	}
	if err == nil {
		v.see("/schedules")
		return nil
	}
	status := statusOf(err)
	if status == http.StatusInternalServerError {
		return err
	}
	form.Error = plain(err.Error())
	return s.schedulesPage(v, status, form)
}

// wanted is the schedule that a form asks for. What the form does not show of
// one that there is stays as it was; a new one must not take its name.
func (s *site) wanted(v *visit, form scheduleForm) (service.Schedule, error) {
	all, err := s.Service.Schedules(v.r.Context())
	if err != nil {
		return service.Schedule{}, err
	}
	sch := service.Schedule{Name: form.Name}
	if i := slices.IndexFunc(all, func(other service.Schedule) bool { return other.Name == form.Name }); i >= 0 {
		if !form.Edits {
			return sch, &service.ConflictError{Err: fmt.Errorf("%s", v.lang.text("schedules.exists", form.Name))}
		}
		sch = all[i]
	}
	sch.Cron, sch.Recipes, sch.When, sch.Paused = form.Cron, v.words("recipes"), form.When, form.Paused
	sch.Options.Push, sch.Options.Update = v.words("push"), form.Update
	return sch, nil
}

func (s *site) pauseSchedule(paused bool) action {
	return func(v *visit) error {
		sch, err := v.schedule()
		if err != nil {
			return err
		}
		sch.Paused = paused
		if _, err := s.Service.PutSchedule(v.r.Context(), sch); err != nil {
			return err
		}
		v.see("/schedules")
		return nil
	}
}

func (s *site) deleteSchedule(v *visit) error {
	if err := s.Service.DeleteSchedule(v.r.Context(), v.r.PathValue("name")); err != nil {
		return err
	}
	v.see("/schedules")
	return nil
}
