package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

func TestReadCache(t *testing.T) {
	for _, c := range []struct {
		flag, value string
		want        cachePlace
		err         string
	}{
		{"cache-from", "type=registry,ref=192.168.1.5:6000/ci", cachePlace{registry: true, at: "192.168.1.5:6000/ci"}, ""},
		{"cache-to", "type=registry,ref=r.example/ci:main,mode=max", cachePlace{registry: true, at: "r.example/ci:main", all: true}, ""},
		{"cache-to", "mode=min,type=local,dest=/srv/c", cachePlace{at: "/srv/c"}, ""},
		{"cache-from", "type=local,src=c", cachePlace{at: "c"}, ""},
		{"cache-from", "type=regsitry,ref=r.example/ci", cachePlace{}, `there is no type "regsitry": write type=registry,ref=HOST/REPO[:TAG] or type=local,src=DIR`},
		{"cache-from", "r.example/ci", cachePlace{}, "is not KEY=VALUE; it lacks type"},
		{"cache-from", "", cachePlace{}, `"" is not KEY=VALUE`},
		{"cache-from", "type=registry,ref=ci", cachePlace{}, "missing registry or repository"},
		{"cache-to", "type=registry,ref=r.example/ci@sha256:" + strings.Repeat("0", 64), cachePlace{}, "write a tag"},
		{"cache-to", "type=local,dest=c,ref=r.example/ci", cachePlace{}, "ref is not for type=local"},
		{"cache-from", "type=local,src=c,src=d", cachePlace{}, "twice"},
		{"cache-from", "type=local,dest=c", cachePlace{}, `there is no key "dest"; it lacks src`},
		{"cache-to", "type=local,src=c", cachePlace{}, "it lacks dest"},
		{"cache-to", "type=registry", cachePlace{}, "it lacks ref"},
		{"cache-to", "type=local,dest=c,mode=all", cachePlace{}, "mode=all"},
		{"cache-from", "type=local,src=c,mode=max", cachePlace{}, "mode=max is not for it"},
		{"cache-to", "type=local,dest=c,compression=zstd", cachePlace{}, `there is no key "compression"`},
	} {
		got, err := readCache(c.flag, c.value)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || !is[usageError](err)) {
			t.Errorf("--%s %s: %+v, %v", c.flag, c.value, got, err)
		}
	}
}

// What is wrong with the caches is found before the state directory is touched,
// let alone waited for.
func TestWrongCachesAreReportedAtOnce(t *testing.T) {
	for _, verb := range []string{"build", "batch"} {
		t.Run(verb, func(t *testing.T) {
			code, _, stderr := do(t, verb, "busybox", "--cache-from", "type=regsitry,rfe=r.example/ci", "--cache-from", "type=local", "--cache-to", "type=local,dest=c,mode=all")
			refused(t, code, stderr, `there is no key "rfe"; there is no type "regsitry"`, "it lacks src", "mode=all")
		})
	}
}

// Offline no registry is asked for a cache or sent one; a directory is another matter.
func TestOfflineTakesNoCacheOfARegistry(t *testing.T) {
	const registry = "type=registry,ref=127.0.0.1:1/ci"
	for _, verb := range []string{"build", "batch"} {
		t.Run(verb, func(t *testing.T) {
			code, _, stderr := do(t, verb, "busybox", "--offline", "--cache-from", registry, "--cache-to", registry+",mode=max")
			refused(t, code, stderr, "--cache-from \""+registry, "--cache-to \""+registry, "(type=local,src=DIR)", "(type=local,dest=DIR)")
			dir := t.TempDir()
			code, _, stderr = do(t, verb, "pause", "--offline", "--cache-from", "type=local,src="+dir, "--cache-to", "type=local,dest="+dir)
			if code == exitUsage || strings.Contains(stderr, "--cache") {
				t.Errorf("local caches: exit %d, %s", code, stderr)
			}
		})
	}
}

// refused checks that a run was refused because of the command line, for all of
// the reasons, and left the state directory alone.
func refused(t *testing.T, code int, stderr string, reasons ...string) {
	t.Helper()
	if code != exitUsage {
		t.Errorf("exit %d", code)
	}
	for _, reason := range reasons {
		if !strings.Contains(stderr, reason) {
			t.Errorf("%q is missing in %s", reason, stderr)
		}
	}
	if _, err := os.Stat(os.Getenv("RISCV_BUILD_STATE_DIR")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state directory was used: %v", err)
	}
}
