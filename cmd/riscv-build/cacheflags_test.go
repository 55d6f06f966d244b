package main

import (
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
		{"cache-from", "type=regsitry,ref=r.example/ci", cachePlace{}, `there is no type "regsitry"`},
		{"cache-from", "r.example/ci", cachePlace{}, "is not KEY=VALUE"},
		{"cache-from", "type=local,src=c,src=d", cachePlace{}, "twice"},
		{"cache-from", "type=local,dest=c", cachePlace{}, "it lacks src"},
		{"cache-to", "type=local,src=c", cachePlace{}, "it lacks dest"},
		{"cache-to", "type=registry", cachePlace{}, "it lacks ref"},
		{"cache-to", "type=local,dest=c,mode=all", cachePlace{}, "mode=all"},
		{"cache-from", "type=local,src=c,mode=max", cachePlace{}, "mode=max is not for it"},
		{"cache-to", "type=local,dest=c,compression=zstd", cachePlace{}, "there is no compression"},
	} {
		got, err := readCache(c.flag, c.value)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || !is[usageError](err)) {
			t.Errorf("--%s %s: %+v, %v", c.flag, c.value, got, err)
		}
	}
}
