package host

import (
	"context"
	"fmt"
	"time"
)

const (
	clockLayout = "2006-01-02 15:04 MST"
	maxSkew     = 10 * time.Minute
)

// oldestClock is a time that no clock which was ever set shows.
var oldestClock = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// heard is the time that a server told, and which server.
type heard struct {
	server string
	date   time.Time // zero: nobody told one
	at     time.Time // when, by the clock of this machine
}

// now is the time by the server.
func (h heard) now() time.Time { return h.date.Add(time.Since(h.at)) }

// clock refuses a time before the program was built: boards without a battery
// start in 1970, and then no signature and no certificate is valid.
func (m machine) clock(notBefore, now time.Time, other heard) Finding {
	f := Finding{Name: "clock", Severity: Error, Why: "archive signatures and TLS certificates are not valid before they were made"}
	f.Fix = "set the clock: timedatectl set-ntp true, or date -u -s '2026-12-31 12:00'"
	if !other.date.IsZero() {
		f.Fix = fmt.Sprintf("set the clock: timedatectl set-ntp true, or date -u -s '%s'", other.now().UTC().Format(time.DateTime))
	}
	floor := oldestClock
	if notBefore.After(floor) {
		floor = notBefore
	}
	shown := now.UTC().Format(clockLayout)
	if now.Before(floor) {
		f.What = fmt.Sprintf("the clock says %s, but this program was built on %s", shown, notBefore.UTC().Format(clockLayout))
		if notBefore.IsZero() {
			f.What = fmt.Sprintf("the clock says %s", shown)
		}
		if other.date.After(floor) {
			f.Fix += " (doctor --fix takes the time of the mirror)"
			f.mend = m.setClock(other)
		}
		return f
	}
	if skew := other.date.Sub(other.at); !other.date.IsZero() && skew.Abs() > maxSkew {
		f.Severity = Warning
		f.What = fmt.Sprintf("the clock says %s, %s says %s", shown, other.server, other.date.UTC().Format(clockLayout))
		f.Why = "a clock that is behind takes new signatures for those of the future, one that is ahead takes them for expired"
		return f
	}
	if m.goos == "linux" && !clockSynchronised() {
		shown += ", not synchronised by NTP"
	}
	return good(f.Name, Error, shown)
}

// setClock gives a repair that takes a server's time, which is better than
// 1970 and not authenticated.
func (m machine) setClock(other heard) mend {
	return func(_ context.Context, report func(string)) error {
		if err := m.needRoot(); err != nil {
			return err
		}
		now := other.now()
		if err := setTime(now); err != nil {
			return fmt.Errorf("setting the clock: %w: set that of the machine outside of this container", err)
		}
		report(fmt.Sprintf("set the clock to %s, the time of %s; `timedatectl set-ntp true` keeps it right", now.UTC().Format(clockLayout), other.server))
		return nil
	}
}
