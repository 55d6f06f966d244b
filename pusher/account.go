package pusher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// accounts are the credentials of a docker configuration.
type accounts struct {
	path string
	get  auth.CredentialFunc
}

// openAccounts reads the docker configuration; a missing file has no accounts.
func openAccounts(path string) (*accounts, error) {
	if path == "" {
		path = DockerConfig()
	}
	if path == "" {
		return &accounts{get: noCredential}, nil
	}
	path = configFile(path)
	store, err := credentials.NewStore(path, credentials.StoreOptions{})
	if err != nil {
		for inner := err; inner != nil; inner = errors.Unwrap(inner) {
			err = inner // what is wrong in the file; the library's own words name it twice
		}
		return nil, &accountError{Path: path, Err: err}
	}
	return &accounts{path: path, get: credentials.Credential(store)}, nil
}

// DockerConfig is the docker configuration that accounts are read from where
// none is named; "" where there is no home to have one in.
func DockerConfig() string {
	path := os.Getenv("DOCKER_CONFIG")
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		path = filepath.Join(home, ".docker")
	}
	return configFile(path)
}

func noCredential(context.Context, string) (auth.Credential, error) {
	return auth.EmptyCredential, nil
}

// credential gives the account of a registry, asked only when the registry
// wants one. It is refused over a plain connection that a probe chose.
func (p *Pusher) credential(ep *endpoint) auth.CredentialFunc {
	return func(ctx context.Context, host string) (auth.Credential, error) {
		a, err := p.accounts()
		if err != nil {
			return auth.EmptyCredential, err
		}
		cred, err := a.get(ctx, host)
		if err != nil {
			return auth.EmptyCredential, &accountError{Path: a.path, Err: err}
		}
		if cred != auth.EmptyCredential && ep.probed {
			return auth.EmptyCredential, &plainError{Host: ep.host}
		}
		return cred, nil
	}
}

// accountError is a docker configuration or helper that gives no credentials.
type accountError struct {
	Path string
	Err  error
}

func (e *accountError) Error() string {
	return fmt.Sprintf("reading credentials from %q: %v", e.Path, e.Err)
}

func (e *accountError) Unwrap() error { return e.Err }

// advice says what to do about it.
func (e *accountError) advice() string {
	var missing *exec.Error
	if errors.As(e.Err, &missing) {
		return fmt.Sprintf("install the credential helper %q or take it out of %q (credsStore, credHelpers)", missing.Name, e.Path)
	}
	return fmt.Sprintf("correct %q, or run `docker login` again", e.Path)
}

// plainError says that credentials are kept back.
type plainError struct{ Host string }

func (e *plainError) Error() string {
	return "the registry wants credentials, and that it speaks plain HTTP was only found by probing: they are not sent"
}

func (e *plainError) advice() string {
	return fmt.Sprintf("write http://%s if they may cross the network unencrypted, or give the registry a certificate", e.Host)
}
