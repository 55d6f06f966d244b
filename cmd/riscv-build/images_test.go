package main

import "testing"

func TestNamesRegistry(t *testing.T) {
	for arg, want := range map[string]bool{
		"missing.tar": false, "./nothere": false, "../x/y": false, "/nowhere/x": false, "host/x": false, "nginx": false,
		"localhost/x": true, "127.0.0.1:6000/x:1": true, "board:6000/x": true, "registry.example/x": true, "http://board/x": true,
	} {
		if got := namesRegistry(arg); got != want {
			t.Errorf("%q: got %v, want %v", arg, got, want)
		}
	}
}
