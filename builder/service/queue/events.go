package queue

import (
	"encoding/json"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

// event makes an event of now.
func event(kind string, data any) service.Event {
	text, err := json.Marshal(data)
	if err != nil {
		panic(err) // the kinds of data are structs of strings, numbers and times
	}
	return service.Event{Time: store.Now(), Kind: kind, Data: text}
}

// statusOf reads the status of a StatusEvent.
func statusOf(e service.Event) service.Status {
	var data service.StatusData
	if json.Unmarshal(e.Data, &data) != nil {
		return ""
	}
	return data.Status
}

// put saves a build with the event that tells of its status.
func put(tx *store.Tx, b service.Build, why string) error {
	data := service.StatusData{Status: b.Status, Attempt: b.Attempt, Why: why, Error: b.Error, SameAs: b.SameAs}
	if b.Status == service.Succeeded && b.Result != nil {
		data.Digest = b.Result.Digest.String()
	}
	if err := tx.Append(b.ID, event(service.StatusEvent, data)); err != nil {
		return err
	}
	return tx.Save(b)
}

// putAll does so for a build and those that follow it: what change does to
// one, it does to all.
func putAll(tx *store.Tx, b service.Build, why string, change func(*service.Build)) (service.Build, error) {
	followers, err := tx.Followers(b.ID)
	if err != nil {
		return b, err
	}
	for i, one := range append([]service.Build{b}, followers...) {
		change(&one)
		if err := put(tx, one, why); err != nil {
			return b, err
		}
		if i == 0 {
			b = one
		}
	}
	return b, nil
}

// promote queues those that follow a build again, without it: the first of
// them is made for the others.
func promote(tx *store.Tx, leader int64, why string) error {
	followers, err := tx.Followers(leader)
	if err != nil {
		return err
	}
	for i, f := range followers {
		f.Status, f.Started, f.Stage, f.SameAs = service.Queued, nil, "", 0
		if i > 0 {
			f.SameAs = followers[0].ID
		}
		if err := put(tx, f, why); err != nil {
			return err
		}
	}
	return nil
}
