package pusher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// tellEvery is how often a running transfer is reported.
const tellEvery = 100 * time.Millisecond

// blob brings one blob into the repository: it is there, or another
// repository has it, or it is sent.
func (u *upload) blob(ctx context.Context, desc ocispec.Descriptor) error {
	release, err := u.ep.claim(ctx, desc.Digest)
	if err != nil {
		return err
	}
	defer release()
	state, err := u.bring(ctx, desc)
	if err != nil {
		return u.fail(ctx, "pushing blob", desc.Digest.String(), err)
	}
	u.ep.has(desc.Digest, u.place.repository)
	if state == Sent {
		u.mu.Lock()
		u.res.UploadedBlobs++
		u.res.UploadedBytes += desc.Size
		u.mu.Unlock()
	}
	u.tell(desc, desc.Size, state)
	return nil
}

func (u *upload) bring(ctx context.Context, desc ocispec.Descriptor) (State, error) {
	there, err := u.repo.Blobs().Exists(ctx, desc)
	if err != nil {
		return "", err
	}
	if there {
		return Exists, nil
	}
	from := u.ep.holder(desc.Digest)
	for attempt := 0; ; attempt++ {
		sent, asked, err := u.send(ctx, desc, from)
		if err == nil {
			if sent {
				return Sent, nil
			}
			return Mounted, nil
		}
		// What broke before the first byte was retried below; a mount that is
		// refused is an ordinary upload.
		if ctx.Err() != nil || from == "" && (!sent || attempt >= u.p.opt.Retries || !uploadAgain(err)) {
			return "", err
		}
		if from == "" {
			if err := u.sleep(ctx, attempt, asked); err != nil {
				return "", err
			}
			// The registry may have it all and only its answer was lost.
			if there, err := u.repo.Blobs().Exists(ctx, desc); err == nil && there {
				return Sent, nil
			}
		}
		from = ""
	}
}

// send makes one attempt. sent says whether bytes went out, asked how long the
// registry wants to be left alone.
func (u *upload) send(parent context.Context, desc ocispec.Descriptor, from string) (sent bool, asked time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	body, err := u.p.openBody(ctx, u.m.image.Provider, desc, cancel)
	if err != nil {
		return false, 0, &localError{fmt.Errorf("reading it from the image: %w", err)}
	}
	defer body.release()
	if body.Size() != desc.Size {
		return false, 0, &localError{fmt.Errorf("reading it from the image: %d bytes are there, the manifest says %d", body.Size(), desc.Size)}
	}
	var last time.Time
	body.moved = func(done int64) {
		if now := time.Now(); now.Sub(last) >= tellEvery {
			last = now
			u.tell(desc, done, Sending)
		}
	}
	if from == "" {
		err = u.repo.Blobs().Push(ctx, desc, body)
	} else {
		err = u.repo.Mount(ctx, desc, from, func() (io.ReadCloser, error) { return body, nil })
	}
	if err != nil && parent.Err() == nil && errors.Is(context.Cause(ctx), errStall) {
		err = fmt.Errorf("%w: the registry took no byte for %s", errStall, u.p.opt.Stall)
	}
	return body.began, body.asked, err
}

func (u *upload) sleep(ctx context.Context, attempt int, asked time.Duration) error {
	timer := time.NewTimer(u.p.pause(attempt, asked))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (u *upload) tell(desc ocispec.Descriptor, done int64, state State) {
	u.p.tell(Event{Registry: u.ep.host, Repository: u.place.repository,
		Digest: desc.Digest, Done: done, Total: desc.Size, State: state})
}

// claim waits until no other upload of the digest to this registry runs, then
// holds it: the second repository can mount what the first gets.
func (ep *endpoint) claim(ctx context.Context, dgst digest.Digest) (release func(), err error) {
	for {
		ep.mu.Lock()
		other, taken := ep.busy[dgst]
		if !taken {
			mine := make(chan struct{})
			ep.busy[dgst] = mine
			ep.mu.Unlock()
			return func() {
				ep.mu.Lock()
				delete(ep.busy, dgst)
				ep.mu.Unlock()
				close(mine)
			}, nil
		}
		ep.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// has notes that a repository holds a blob.
func (ep *endpoint) has(dgst digest.Digest, repository string) {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	if ep.known[dgst] == nil {
		ep.known[dgst] = map[string]bool{}
	}
	ep.known[dgst][repository] = true
}

// holder gives a repository that holds the blob, "" if none is known.
func (ep *endpoint) holder(dgst digest.Digest) string {
	ep.mu.Lock()
	defer ep.mu.Unlock()
	first := ""
	for name := range ep.known[dgst] {
		if first == "" || name < first {
			first = name
		}
	}
	return first
}
