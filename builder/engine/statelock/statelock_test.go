package statelock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets the test binary be the second process of its own tests.
func TestMain(m *testing.M) {
	if path := os.Getenv("STATELOCK_TEST_HOLD"); path != "" {
		if _, err := Acquire(context.Background(), path, nil); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println("held")
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func holdElsewhere(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], "with", "arguments")
	cmd.Env = append(os.Environ(), "STATELOCK_TEST_HOLD="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the other process said %q, %v", line, err)
	}
	return cmd
}

func TestSecondProcessIsNamedAndWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "lock")
	other := holdElsewhere(t, path)

	var told []Holder
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := Acquire(ctx, path, func(h Holder) { told = append(told, h) })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want the context's error", err)
	}
	if len(told) != 1 || told[0].PID != other.Process.Pid || !strings.Contains(told[0].String(), "with arguments") {
		t.Fatalf("told of %v, want once of %d", told, other.Process.Pid)
	}

	// A killed holder frees the lock.
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	l, err := Acquire(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := ReadHolder(path)
	if err != nil || h.PID != os.Getpid() {
		t.Fatalf("signed by %v, %v", h, err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if h, err := ReadHolder(path); err == nil {
		t.Fatalf("released, but still signed by %v", h)
	}
}

func TestOneHolderAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var mu sync.Mutex
	var wg sync.WaitGroup
	inside, most := 0, 0
	for range 4 {
		wg.Go(func() {
			l, err := Acquire(context.Background(), path, nil)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			inside++
			most = max(most, inside)
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
			mu.Lock()
			inside--
			mu.Unlock()
			if err := l.Release(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != 1 {
		t.Fatalf("%d holders at once", most)
	}
}

func TestUnreadableHolderIsAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(path, []byte("{half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if h, err := ReadHolder(path); err == nil || h.String() != "another process" {
		t.Fatalf("got %v, %v", h, err)
	}
	l, err := Acquire(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
}
