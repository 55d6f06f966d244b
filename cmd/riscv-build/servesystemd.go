package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellSystemd tells the service manager how the service is doing, if there is
// one that asked to be told.
func tellSystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager was not told", "state", state, "error", err.Error())
	}
}

// watchdog tells the service manager, if it wants to know, that the service is
// alive, until the context ends: twice in the time after which it would be
// started again, and only if well gives no error.
func watchdog(ctx context.Context, log *slog.Logger, well func(context.Context) error) {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("the watchdog is not answered", "error", err.Error())
	}
	if limit == 0 {
		return
	}
	every := time.NewTicker(limit / 2)
	defer every.Stop()
	for {
		ask, cancel := context.WithTimeout(ctx, limit/2)
		err := well(ask)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			log.Error("the service does not answer: its manager will start it again", "error", err.Error())
		default:
			tellSystemd(log, daemon.SdNotifyWatchdog)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
