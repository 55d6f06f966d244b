package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// maxSessions bounds the uploads whose running hash is kept. That of another
// is computed from its file.
const maxSessions = 256

// sessions are the uploads that this process has seen bytes of.
type sessions struct {
	mu   sync.Mutex
	byID map[string]*session
}

// session is an upload on its way. One request writes at a time: when a client
// comes back, what its broken connection still delivers is refused.
type session struct {
	mu     sync.Mutex
	writer *upload   // who may write
	size   int64     // bytes that hash knows
	hash   hash.Hash // nil: unknown
	kind   digest.Algorithm
	used   time.Time // guarded by sessions.mu
}

// get finds a session, or begins one.
func (s *sessions) get(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID == nil {
		s.byID = map[string]*session{}
	}
	one := s.byID[id]
	if one == nil {
		s.shrink()
		one = &session{}
		s.byID[id] = one
	}
	one.used = time.Now()
	return one
}

// shrink forgets the hash that was used longest ago. The session stays, for as
// long as a request has it, with the request.
func (s *sessions) shrink() {
	if len(s.byID) < maxSessions {
		return
	}
	var oldest string
	for id, one := range s.byID {
		if o := s.byID[oldest]; o == nil || one.used.Before(o.used) {
			oldest = id
		}
	}
	delete(s.byID, oldest)
}

func (s *sessions) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

// owner is the part of an upload's name that says which repository it is for,
// so that it cannot be continued in another.
func owner(repo string) string {
	sum := sha256.Sum256([]byte(repo))
	return hex.EncodeToString(sum[:8])
}
