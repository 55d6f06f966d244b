package access

import (
	"sync"
	"time"
)

const (
	// allowedFailures is how many wrong tokens an address may show in a window.
	allowedFailures = 10
	failureWindow   = time.Minute
	// rememberedAddresses bounds the memory for them.
	rememberedAddresses = 4096
)

// failures counts wrong tokens by address.
type failures struct {
	mu        sync.Mutex
	addresses map[string]*window
}

type window struct {
	began time.Time
	count int
}

// count counts one more, and says how long the address has to wait: 0 if it
// has not shown too many yet.
func (f *failures) count(address string, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := f.addresses[address]
	if w == nil || now.Sub(w.began) >= failureWindow {
		if f.addresses == nil || len(f.addresses) >= rememberedAddresses {
			// Who has so many addresses needs no second chance on each.
			f.addresses = map[string]*window{}
		}
		w = &window{began: now}
		f.addresses[address] = w
	}
	if w.count++; w.count <= allowedFailures {
		return 0
	}
	return failureWindow - now.Sub(w.began)
}
