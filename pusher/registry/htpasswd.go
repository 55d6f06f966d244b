package registry

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// maxChecked bounds the passwords that are known to be right.
const maxChecked = 1024

// accounts are the users of a file as `htpasswd -B` writes it. A password is
// hashed once: on a board, bcrypt takes a tenth of a second and more, and an
// image is many requests.
type accounts struct {
	path string
	key  []byte        // of the sums in checked, new with each start
	gate chan struct{} // how many passwords are hashed at a time

	mu      sync.Mutex
	users   map[string][]byte // bcrypt hashes
	checked map[[sha256.Size]byte]bool
	dummy   []byte // hashed for an unknown user, so that it takes as long
}

// openAccounts reads the file.
func openAccounts(path string) (*accounts, error) {
	a := &accounts{path: path, key: make([]byte, sha256.Size), gate: make(chan struct{}, 2)}
	_, _ = rand.Read(a.key)
	return a, a.reload()
}

// AccountsError is a file of accounts with lines that are none. Exit code 2.
type AccountsError struct{ Err error }

func (e *AccountsError) Error() string { return e.Err.Error() }
func (e *AccountsError) Unwrap() error { return e.Err }

// ExitCode is that of wrong arguments and configuration.
func (e *AccountsError) ExitCode() int { return 2 }

// reload reads the file again; with an error the accounts stay what they were.
func (a *accounts) reload() error {
	raw, err := os.ReadFile(a.path)
	if err != nil {
		return &AccessError{fmt.Errorf("reading accounts: %w: write them with `htpasswd -Bc FILE USER`", err)}
	}
	users := map[string][]byte{}
	cost := bcrypt.DefaultCost
	var problems []error
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		c, err := bcrypt.Cost([]byte(hash))
		switch {
		case !ok || user == "":
			err = errors.New("it is not USER:HASH")
		case err != nil:
			err = errors.New("the hash is not bcrypt")
		case users[user] != nil:
			err = fmt.Errorf("user %q is there twice", user)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("reading accounts: %s:%d: %w: write the line with `htpasswd -B`", a.path, n, err))
			continue
		}
		users[user], cost = []byte(hash), max(cost, c)
	}
	if err := lines.Err(); err != nil {
		problems = append(problems, fmt.Errorf("reading accounts %q: %w", a.path, err))
	}
	if len(users)+len(problems) == 0 {
		problems = append(problems, fmt.Errorf("reading accounts %q: there is none in it: write one with `htpasswd -B`", a.path))
	}
	if len(problems) > 0 {
		return &AccountsError{errors.Join(problems...)}
	}
	dummy, err := bcrypt.GenerateFromPassword(a.key[:16], cost)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users, a.dummy, a.checked = users, dummy, map[[sha256.Size]byte]bool{}
	return nil
}

// allows says whether a password is a user's.
func (a *accounts) allows(user, password string) bool {
	a.mu.Lock()
	hash, known := a.users[user]
	if !known {
		hash = a.dummy
	}
	sum := a.sum(user, password, hash)
	right := a.checked[sum]
	a.mu.Unlock()
	if right {
		return true
	}
	a.gate <- struct{}{}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	<-a.gate
	if err != nil || !known {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.checked) >= maxChecked {
		clear(a.checked)
	}
	a.checked[sum] = true
	return true
}

// sum stands for a password that was checked against a hash.
func (a *accounts) sum(user, password string, hash []byte) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, a.key)
	for _, part := range []string{user, password, string(hash)} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	h.Sum(sum[:0])
	return sum
}
