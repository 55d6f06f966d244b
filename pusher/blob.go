package pusher

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

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

// bring tries until the blob is there. Attempts that brought the upload forward
// do not count.
func (u *upload) bring(ctx context.Context, desc ocispec.Descriptor) (State, error) {
	there, err := u.exists(ctx, desc)
	if err != nil {
		return "", err
	}
	if there {
		return Exists, nil
	}
	s, err := u.open(ctx, desc)
	if err != nil {
		return "", err
	}
	defer s.body.Close() //nolint:errcheck // it was only read
	defer s.end(ctx)
	from := u.ep.holder(desc.Digest)
	for attempt := 0; ; attempt++ {
		mounted, err := s.run(ctx, from)
		switch {
		case err == nil && mounted:
			return Mounted, nil
		case err == nil:
			return Sent, nil
		}
		if from != "" && ctx.Err() == nil {
			from = "" // a mount that is refused is an ordinary upload
			continue
		}
		if s.offset > s.best+headway {
			s.best, attempt = s.offset, 0
		}
		if ctx.Err() != nil || attempt >= u.p.opt.Retries || !s.better && !passing(err) {
			return "", err
		}
		if err := u.p.sleep(ctx, attempt, s.asked); err != nil {
			return "", err
		}
		// The registry may have it all and only its answer was lost.
		if there, err := u.exists(ctx, desc); err == nil && there {
			return Sent, nil
		}
	}
}

// open gives the session in which a blob is sent; it is begun later.
func (u *upload) open(ctx context.Context, desc ocispec.Descriptor) (*session, error) {
	body, err := u.m.image.Provider.ReaderAt(ctx, desc)
	if err != nil {
		return nil, &localError{fmt.Errorf("reading it from the image: %w", err)}
	}
	if body.Size() != desc.Size {
		err := fmt.Errorf("reading it from the image: %d bytes are there, the manifest says %d", body.Size(), desc.Size)
		return nil, &localError{errors.Join(err, body.Close())}
	}
	return &session{u: u, desc: desc, body: body}, nil
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
