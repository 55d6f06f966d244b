//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"
)

const registryPatience = 30 * time.Second

// haveRegistry makes sure that a registry answers at the address: the one that
// riscv-build serves, unless another is there. The function it gives stops what
// it started; what was there is left alone.
func haveRegistry(ctx context.Context, bin, address, work string) (stop func() error, err error) {
	if answers(ctx, address) {
		fmt.Printf("using the registry that answers at %s\n", address)
		return func() error { return nil }, nil
	}
	if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("starting a registry: something that is no registry listens at %s: stop it", address)
	}
	fmt.Printf("$ riscv-build registry serve --addr %s\n", address)
	return start(ctx, exec.Command(bin, "registry", "serve", "--quiet", "--addr", address, "--root", filepath.Join(work, "registry")), address)
}

// start starts the registry and waits until it answers.
func start(ctx context.Context, cmd *exec.Cmd, address string) (stop func() error, err error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a registry: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = func() error {
		_ = cmd.Process.Kill() // it keeps nothing that is wanted later
		<-ended
		return nil
	}
	for deadline := time.Now().Add(registryPatience); time.Now().Before(deadline) && ctx.Err() == nil; {
		select {
		case err := <-ended:
			return nil, fmt.Errorf("starting a registry: it ended: %w\n%s", err, &said)
		case <-time.After(100 * time.Millisecond):
		}
		if answers(ctx, address) {
			fmt.Printf("started a registry at %s (until the end of this demonstration)\n", address)
			return stop, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("starting a registry: it does not answer at %s", address), stop())
}

// answers says whether a registry speaks there: /v2/ gives 200, or 401 with a login.
func answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v2/", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.Header.Get("Docker-Distribution-Api-Version") != "" &&
		(resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusUnauthorized)
}
