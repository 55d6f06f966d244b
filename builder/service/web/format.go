package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
)

// funcs are what templates call. They are bound to a language.
func (l *language) funcs(s *site) template.FuncMap {
	return template.FuncMap{
		"t":        l.text,
		"n":        l.count,
		"asset":    s.assets.path,
		"bytes":    l.bytes,
		"seconds":  l.seconds,
		"number":   func(n int) string { return number(int64(n)) },
		"ago":      func(t time.Time) string { return l.relative(t.Sub(s.now())) },
		"when":     func(t *time.Time) string { return l.relative(t.Sub(s.now())) },
		"iso":      iso,
		"took":     func(b service.Build) string { return l.took(b, s.now()) },
		"short":    short,
		"join":     func(list []string) string { return strings.Join(list, ", ") },
		"has":      func(list []string, word string) bool { return slices.Contains(list, word) },
		"plain":    plain,
		"pullable": pullable,
		"statuses": func() []service.Status { return service.Statuses },
		"final":    func(st service.Status) bool { return st.Final() },
	}
}

// iso is a time (time.Time or *time.Time) in UTC, RFC 3339.
func iso(t any) string {
	switch t := t.(type) {
	case time.Time:
		return t.UTC().Format(time.RFC3339)
	case *time.Time:
		if t != nil {
			return t.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

// number writes an integer with its thousands apart.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(digits) - 3; i > start; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// bytes writes a size with a decimal unit: 12.3 MB.
func (l *language) bytes(n int64) string {
	units := []string{"unit.b", "unit.kb", "unit.mb", "unit.gb", "unit.tb"}
	size, u := float64(n), 0
	for math.Abs(size) >= 999.5 && u < len(units)-1 {
		size, u = size/1000, u+1
	}
	digits := 0
	if u > 0 && math.Abs(size) < 99.95 {
		digits = 1
	}
	return l.text(units[u], strconv.FormatFloat(size, 'f', digits, 64))
}

// seconds writes a duration: 0.31 s, 12 s, 3 min 20 s, 2 h 5 min.
func (l *language) seconds(s float64) string {
	switch {
	case s < 9.995:
		return l.text("time.s", strconv.FormatFloat(s, 'f', 2, 64))
	case s < 59.5:
		return l.text("time.s", strconv.Itoa(int(math.Round(s))))
	case s < 3599.5:
		n := int(math.Round(s))
		return l.text("time.m", n/60, n%60)
	}
	n := int(math.Round(s / 60))
	return l.text("time.h", n/60, n%60)
}

// relative writes how far a time is from now: 3 minutes ago, in 2 hours.
func (l *language) relative(d time.Duration) string {
	side := "in."
	if d < 0 {
		side, d = "ago.", -d
	}
	switch {
	case d < 5*time.Second:
		return l.text("ago.now")
	case d < time.Minute:
		return l.count(side+"second", int(d.Seconds()))
	case d < time.Hour:
		return l.count(side+"minute", int(d.Minutes()))
	case d < 48*time.Hour:
		return l.count(side+"hour", int(d.Hours()))
	}
	return l.count(side+"day", int(d.Hours()/24))
}

// took is how long a build ran or has been running; empty before that.
func (l *language) took(b service.Build, now time.Time) string {
	if b.Started == nil {
		return ""
	}
	end := now
	if b.Ended != nil {
		end = *b.Ended
	}
	return l.seconds(max(0, end.Sub(*b.Started).Seconds()))
}

// pullable is a reference as programs that pull take it: without a scheme.
func pullable(reference string) string {
	return strings.TrimPrefix(strings.TrimPrefix(reference, "https://"), "http://")
}

// short is a digest as people compare them: its first 12 digits.
func short(d any) string {
	text := fmt.Sprint(d)
	if parsed, err := digest.Parse(text); err == nil {
		text = parsed.Encoded()
	}
	return text[:min(12, len(text))]
}
