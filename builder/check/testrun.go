package check

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/recipes"
)

// testsVersion is raised whenever a test may end differently with the same inputs.
const testsVersion = 1

// TestRun is the tests of one recipe and the image they are run on.
type TestRun struct {
	Recipe    string
	Tests     []recipes.Test
	Image     ocispec.Descriptor // manifest, in Store
	Config    ocispec.Image      // of Image
	Store     content.Store
	Engine    func(context.Context) (engine.Engine, error) // called when the first test must run, not before
	Emulator  func() string                                // engine.Info.Emulator without an engine; nil or "": the engine is asked
	Probe     *ocispec.Descriptor                          // manifest in Store of an image with a static busybox, for http and tcp
	ProbePath string                                       // of busybox in Probe; default /usr/bin/busybox
	Cache     Cache                                        // of passed tests and of layer facts; nil: none
	NoCache   bool                                         // run what the cache says has passed, and keep the new result
}

// TestResult is how one test ended.
type TestResult struct {
	Name     string
	OK       bool
	Cached   bool   // it passed before, with the same image, test and emulator
	Detail   string // of a failed test: what was expected, what came, the last lines of output
	Duration time.Duration
}

// TestError says which tests failed.
type TestError struct {
	Recipe string
	Total  int          // number of tests that were run or cached
	Failed []TestResult // in the order of the recipe
	errs   []error
}

// Error lists the failed tests with their details.
func (e *TestError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "testing the image of recipe %q: %d of %s failed", e.Recipe, len(e.Failed), plural(e.Total, "test"))
	for _, t := range e.Failed {
		fmt.Fprintf(&b, "\n  test %q: %s", t.Name, strings.ReplaceAll(t.Detail, "\n", "\n  "))
	}
	b.WriteString("\n  correct the recipe or the test, and build again")
	return b.String()
}

// Unwrap gives the errors of an engine that could not run a test.
func (e *TestError) Unwrap() []error { return e.errs }

// ExitCode is 1: the image is bad.
func (e *TestError) ExitCode() int { return 1 }

// RunTests runs every test, also after one has failed, and returns a result
// for each. Failed tests are a *TestError; another error is about the machine
// (no engine, or one that was lost) or the end of ctx, and the results are those
// until then.
func RunTests(ctx context.Context, run TestRun) ([]TestResult, error) {
	r := &runner{TestRun: run}
	if r.ProbePath == "" {
		r.ProbePath = "/usr/bin/busybox"
	}
	var results []TestResult
	failed := &TestError{Recipe: run.Recipe}
	for _, t := range run.Tests {
		start := time.Now()
		result, err := r.one(ctx, t)
		if ctx.Err() != nil {
			return results, fmt.Errorf("testing the image of recipe %q: %w", run.Recipe, context.Cause(ctx))
		}
		var open *openError
		if errors.As(err, &open) {
			return results, open.err
		}
		if engine.OfMachine(err) {
			return results, fmt.Errorf("testing the image of recipe %q: %w", run.Recipe, err)
		}
		if err != nil {
			result.Detail = err.Error()
			failed.errs = append(failed.errs, err)
		}
		result.Name, result.OK, result.Duration = t.Name, result.Detail == "", time.Since(start)
		results = append(results, result)
		if !result.OK {
			failed.Failed = append(failed.Failed, result)
		}
	}
	if failed.Total = len(results); len(failed.Failed) > 0 {
		return results, failed
	}
	return results, nil
}

// openError marks an engine that could not be opened: no test can run then.
type openError struct{ err error }

func (e *openError) Error() string { return e.err.Error() }

type runner struct {
	TestRun
	engine   engine.Engine
	emulator string
	contents *Contents
}

func (r *runner) one(ctx context.Context, t recipes.Test) (TestResult, error) {
	key, err := r.key(ctx, t)
	if err != nil {
		return TestResult{}, err
	}
	if r.Cache != nil && !r.NoCache {
		if _, ok := r.Cache.Get(key); ok {
			return TestResult{Cached: true}, nil
		}
	}
	detail, err := r.run(ctx, t)
	if err == nil && detail == "" && r.Cache != nil {
		r.Cache.Put(key, []byte("{\"ok\":true}\n"))
	}
	return TestResult{Detail: detail}, err
}

// key names a passed test by all that decides its outcome.
func (r *runner) key(ctx context.Context, t recipes.Test) (string, error) {
	emulator := ""
	if t.File == nil { // a file is looked at, nothing is run
		var err error
		if emulator, err = r.identity(ctx); err != nil {
			return "", err
		}
	}
	raw, err := json.Marshal(struct {
		Version  int
		Image    string
		Emulator string
		Test     recipes.Test
	}{testsVersion, r.Image.Digest.String(), emulator, t})
	if err != nil {
		return "", fmt.Errorf("naming the cached result of test %q: %w", t.Name, err)
	}
	sum := sha256.Sum256(raw)
	return "check-test-" + hex.EncodeToString(sum[:]), nil
}

func (r *runner) identity(ctx context.Context) (string, error) {
	if r.emulator == "" && r.Emulator != nil {
		r.emulator = r.Emulator()
	}
	if r.emulator == "" {
		e, err := r.open(ctx)
		if err != nil {
			return "", err
		}
		info, err := e.Info(ctx)
		if err != nil {
			return "", fmt.Errorf("asking the engine what runs riscv64 code: %w", err)
		}
		r.emulator = info.Emulator
	}
	return r.emulator, nil
}

func (r *runner) open(ctx context.Context) (engine.Engine, error) {
	if r.engine == nil {
		e, err := r.Engine(ctx)
		if err != nil {
			return nil, &openError{err}
		}
		r.engine = e
	}
	return r.engine, nil
}

// run returns why the test failed, "" if it passed.
func (r *runner) run(ctx context.Context, t recipes.Test) (string, error) {
	if t.File != nil {
		return r.file(ctx, t.File)
	}
	job, err := r.job(t)
	if err != nil {
		return "", err
	}
	var p *prober
	if t.HTTP != nil || t.TCP != nil {
		if r.Probe == nil {
			return "", fmt.Errorf("probing port of test %q: there is no image with busybox to connect with: add the package busybox-static to the lock", t.Name)
		}
		p = newProber(t)
		job.Probe = &engine.Probe{Mount: *r.Probe, MountPath: mountPath, Args: p.args(mountPath + r.ProbePath), Attempt: p.attempt}
	}
	e, err := r.open(ctx)
	if err != nil {
		return "", err
	}
	result, err := e.Run(ctx, job)
	if err != nil {
		return "", fmt.Errorf("running test %q: %w", t.Name, err)
	}
	problems := judgeRun(t, result, p)
	if len(problems) == 0 {
		return "", nil
	}
	return strings.Join(problems, "; ") + tail("stdout", result.Stdout) + tail("stderr", result.Stderr), nil
}

// job is the container of a test: the image's own settings, changed as
// `docker run` with the test's would.
func (r *runner) job(t recipes.Test) (engine.Run, error) {
	c := r.Config.Config
	entrypoint, args := c.Entrypoint, c.Cmd
	if t.Entrypoint != nil {
		entrypoint, args = *t.Entrypoint, nil // the image's cmd is meant for its own entrypoint
	}
	if len(t.Run) > 0 {
		args = t.Run
	}
	line := append(slices.Clone(entrypoint), args...)
	if len(line) == 0 {
		return engine.Run{}, fmt.Errorf("running test %q: the image has neither entrypoint nor cmd: give the test run = [...]", t.Name)
	}
	timeout := t.Timeout.Duration
	if timeout <= 0 {
		timeout = recipes.DefaultTimeout
	}
	cwd := c.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	return engine.Run{
		Name: r.Recipe + ": " + t.Name, Image: r.Image, Store: r.Store, Args: line,
		Env: testEnv(c.Env, t.Env), User: c.User, Cwd: cwd, Stdin: []byte(t.Stdin), Timeout: timeout,
	}, nil
}

// testEnv is the image's environment with PATH where it has none, overridden
// by the test's, which is sorted.
func testEnv(image []string, test map[string]string) []string {
	var env []string
	path := false
	for _, kv := range image {
		name, _, _ := strings.Cut(kv, "=")
		path = path || name == "PATH"
		if _, ok := test[name]; !ok {
			env = append(env, kv)
		}
	}
	if _, ok := test["PATH"]; !ok && !path {
		env = append(env, "PATH="+defaultPath)
	}
	for _, name := range slices.Sorted(maps.Keys(test)) {
		env = append(env, name+"="+test[name])
	}
	return env
}

// judgeRun compares what a run left behind with what the test expects.
func judgeRun(t recipes.Test, result *engine.RunResult, p *prober) []string {
	var problems []string
	switch {
	case p != nil:
		if problem := p.verdict(result); problem != "" {
			problems = append(problems, problem)
		}
	case result.TimedOut:
		problems = append(problems, fmt.Sprintf("expected exit status %d, still running when its time was over", t.Exit))
	case result.Exit != t.Exit:
		problems = append(problems, fmt.Sprintf("expected exit status %d, got %d", t.Exit, result.Exit))
	}
	for _, problem := range []string{mismatch("stdout", t.Stdout, result.Stdout), mismatch("stderr", t.Stderr, result.Stderr)} {
		if problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems
}
