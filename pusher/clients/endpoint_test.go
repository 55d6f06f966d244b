package clients

import (
	"strings"
	"testing"
)

func TestWhichRegistriesSpeakPlainHTTP(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:6000":            "http",
		"localhost:6000":            "http",
		"[::1]:6000":                "http",
		"10.1.2.3":                  "http",
		"172.16.0.1:80":             "http",
		"172.32.0.1:80":             "https",
		"192.168.1.5:6000":          "http",
		"169.254.1.1:6000":          "http",
		"[fd00::1]:6000":            "http",
		"[fe80::1]:6000":            "http",
		"[2001:db8::1]:6000":        "https",
		"mac.local:6000":            "http",
		"mac:6000":                  "http",
		"registry.example.com":      "https",
		"registry.example.com:6000": "https",
		"8.8.8.8:6000":              "https",
		"http://8.8.8.8:6000":       "http",
		"https://192.168.1.5":       "https",
		"HTTP://h.example:1":        "http",
	} {
		at, err := parseRegistry(text, false)
		if err != nil || at.url() != want+"://"+at.host {
			t.Errorf("%q: %v, %v, want %s", text, at.url(), err, want)
		}
	}
	if at, err := parseRegistry("192.168.1.5:6000", true); err != nil || at.plain || at.assumed {
		t.Errorf("with a CA: %+v, %v", at, err)
	}
}

func TestRequestsThatMakeNoSense(t *testing.T) {
	for request, want := range map[string]string{
		"--registry h:1":                                              "name one or more of buildkit, containerd",
		"dokcer --registry h:1":                                       "there is no such client",
		"docker docker --registry h:1":                                "twice",
		"docker --registry mac":                                       "add the port or the domain, such as mac:6000",
		"docker --registry http://":                                   "no host",
		"docker --registry ftp://h:1":                                 "neither http nor https",
		"docker --registry h:1/team":                                  "it has a path",
		"docker --registry h:0":                                       "between 1 and 65535",
		"docker --registry h:123456":                                  "between 1 and 65535",
		"docker --registry h:x":                                       "no HOST:PORT",
		"docker --registry h_:1":                                      "no HOST:PORT",
		"docker --registry ../../etc:1":                               "no HOST:PORT",
		"docker --registry docker.io":                                 "--mirror docker.io=HOST",
		"docker --registry u:hush@h:1":                                "give --user",
		"docker --registry https://u:hush@h:1":                        "give --user",
		"docker --registry http://h:1 --ca ca.pem":                    "a CA file is for HTTPS",
		"docker --registry h:1 --ca none.pem":                         "no such file",
		"docker --registry h:1 --ca k3s-new.golden":                   "no PEM certificate",
		"docker --registry h:1 --mirror h:2":                          "say of which registry",
		"docker --registry h:1 --mirror http://docker.io=h:2":         "write it as images do",
		"docker --registry h:1 --mirror docker.io/x/y=h:2":            "write it as images do",
		"docker --registry h:1 --mirror docker.io=":                   "no host",
		"docker --registry h:1 --mirror docker.io=h:2/UP":             "no path of a repository",
		"docker --registry h:1 --mirror docker.io=https://h:1":        "speak to both alike",
		"podman --registry h:1 --mirror quay.io=quay.io":              "no mirror of itself",
		"podman --registry h:1 --mirror a.b=h:1 --mirror a.b=h:2":     "has one already",
		"podman --registry h:1 --mirror docker.io=h:1 --mirror x=h:2": "such as x:6000",
		"podman --registry h:1 --password secret":                     "without an account",
	} {
		names, opt := golden{request: request}.options(t, t.TempDir())
		_, err := New(names, opt)
		if _, ok := err.(*RequestError); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %T %v, want %q", request, err, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: the error says the password: %v", request, err)
		}
	}
}
