package queue

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riscv-build/riscv-build/builder/outdated"
	"github.com/riscv-build/riscv-build/builder/service"
)

func (r *rig) told(name string) service.Schedule {
	r.t.Helper()
	all, err := r.Schedules(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	return service.Schedule{}
}

// TestSchedules runs in a bubble, where time passes when nothing is done.
func TestSchedules(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, dir, nil)
		r.fake.report = &outdated.Report{Packages: []outdated.Package{
			{Name: "libssl", Security: true, Recipes: []string{"b"}}, {Name: "tzdata", Recipes: []string{"a"}},
		}}
		for _, s := range []service.Schedule{
			{Name: "always", Cron: "0 3 * * *", Recipes: []string{"*"}},
			{Name: "security", Cron: "0 4 * * *", Recipes: []string{"a", "catalog/b"}, When: service.WhenSecurity},
			{Name: "wrong", Cron: "0 5 * * *", Recipes: []string{"wrong"}},
			{Name: "paused", Cron: "* * * * *", Recipes: []string{"a"}, Paused: true},
		} {
			if got, err := r.PutSchedule(t.Context(), s); err != nil || (got.Next == nil) != s.Paused {
				t.Fatal(got, err)
			}
		}
		r.run()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := strings.Join(r.fake.order(), " "); got != "a b catalog/b" {
			t.Errorf("built %s", got)
		}
		for name, want := range map[string]string{
			"always": "queued 2 builds", "security": "queued 1 build: catalog/b had newer packages", "wrong": "no such recipe", "paused": "",
		} {
			s := r.told(name)
			if s.Told != want || want != "" && (s.Last == nil || !s.Next.Equal(s.Last.Add(24*time.Hour))) {
				t.Errorf("%s: told %q, last %v, next %v", name, s.Told, s.Last, s.Next)
			}
		}
		if o, err := r.Outdated(t.Context()); err != nil || o.Checked == nil || o.Running || len(o.Report.Packages) != 2 {
			t.Errorf("%+v, %v", o, err)
		}
		if list, err := r.Builds(t.Context(), service.Filter{Client: "schedule security"}); err != nil || len(list) != 1 || !list[0].Options.Update || list[0].Cause != service.BySchedule {
			t.Errorf("%+v, %v", list, err)
		}
		if r.fake.opens == 0 || r.fake.opens != r.fake.closes {
			t.Errorf("the state directory was opened %d times and closed %d times", r.fake.opens, r.fake.closes)
		}
		r.stop()
		time.Sleep(3 * 24 * time.Hour)
		r = open(t, dir, nil)
		r.fake.report = &outdated.Report{}
		r.run()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := strings.Join(r.fake.order(), " "); got != "a b" {
			t.Errorf("after three days without the service, built %s", got)
		}
		if s := r.told("security"); s.Told != "nothing is outdated" || !s.Next.After(time.Now()) {
			t.Errorf("%+v", s)
		}
		r.stop()
	})
	if found, err := filepath.Glob(filepath.Join(dir, "*-wal")); err != nil || len(found) > 0 {
		t.Errorf("left behind: %v, %v", found, err)
	}
}
