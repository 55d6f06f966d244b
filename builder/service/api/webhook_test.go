package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var testHooks = []Hook{
	{Name: "hub", Kind: GitHub, Secret: []byte("0123456789abcdef")},
	{Name: "tea", Kind: Gitea, Secret: []byte("0123456789abcdef")},
	{Name: "own", Kind: Generic, Secret: []byte("0123456789abcdef")},
}

func sign(body string) string {
	mac := hmac.New(sha256.New, testHooks[0].Secret)
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}

const hubBody = `{"ref":"refs/heads/main","before":"aa","after":"bb","forced":false,
"repository":{"clone_url":"https://h/r.git","ssh_url":"git@h:r.git","html_url":"https://h/r"},
"commits":[{"added":["b.toml"],"modified":["a.toml"],"removed":[]},{"added":[],"modified":["a.toml"],"removed":["c.toml"]}]}`

func TestWebhooksOfEachKind(t *testing.T) {
	s := serve(t, nil)
	s.want(202, "POST /webhooks/hub", "", hubBody, "X-GitHub-Event", "push", "X-GitHub-Delivery", "1", "X-Hub-Signature-256", "sha256="+sign(hubBody))
	s.want(202, "POST /webhooks/tea", "", hubBody, "X-Gitea-Event", "push", "X-Gitea-Delivery", "1", "X-Gitea-Signature", sign(hubBody))
	own := `{"urls":["https://h/r.git"],"ref":"refs/heads/main","commit":"bb","paths":["a.toml"]}`
	s.want(202, "POST /webhooks/own", "", own, "X-Signature-256", "sha256="+sign(own))
	if len(s.fake.pushed) != 3 {
		t.Fatalf("%+v", s.fake.pushed)
	}
	p := s.fake.pushed[0]
	if !slices.Equal(p.Paths, []string{"a.toml", "b.toml", "c.toml"}) || len(p.URLs) != 3 || p.Ref != "refs/heads/main" || p.Commit != "bb" || p.Sender != "webhook hub" {
		t.Errorf("%+v", p)
	}
}

func TestAWebhookBelievesOnlySignatures(t *testing.T) {
	s := serve(t, nil)
	for name, signature := range map[string]string{
		"hub": "", "hub ": "sha256=", "hub  ": "sha256=" + sign(hubBody+" "), "hub   ": sign(hubBody)[:62], "hub    ": "sha256=zz", "none": "sha256=" + sign(hubBody),
	} {
		s.want(401, "POST /webhooks/"+strings.TrimSpace(name), "admin", hubBody, "X-GitHub-Event", "push", "X-Hub-Signature-256", signature)
	}
	if len(s.fake.pushed) > 0 {
		t.Errorf("%+v", s.fake.pushed)
	}
	for body, status := range map[string]int{"{": 422, "{}": 422, `{"ref":1}`: 422, "payload=x": 422} {
		s.want(status, "POST /webhooks/hub", "", body, "X-GitHub-Event", "push", "X-Hub-Signature-256", "sha256="+sign(body))
	}
	s.want(413, "POST /webhooks/hub", "", strings.Repeat("x", maxDelivery+1))
}

func TestOnlyNewPushesOfAWebhookMatter(t *testing.T) {
	s := serve(t, nil)
	send := func(status int, event, id, body string) string {
		t.Helper()
		return s.want(status, "POST /webhooks/hub", "", body, "X-GitHub-Event", event, "X-GitHub-Delivery", id, "X-Hub-Signature-256", "sha256="+sign(body))
	}
	send(200, "ping", "1", "{}")
	send(202, "issues", "2", "{}")
	removed := strings.Replace(hubBody, `"after":"bb"`, `"after":"0000000000000000000000000000000000000000"`, 1)
	send(202, "push", "3", removed)
	if len(s.fake.pushed) > 0 {
		t.Errorf("%+v", s.fake.pushed)
	}
	s.fake.err = errors.New("disk is full")
	send(500, "push", "4", hubBody)
	s.fake.err = nil
	if text := send(202, "push", "4", hubBody); !strings.Contains(text, `"id":43`) {
		t.Errorf("%s", text)
	}
	for _, id := range []string{"4", "5"} {
		if text := send(202, "push", id, hubBody); !strings.Contains(text, "it came before") {
			t.Errorf("%s", text)
		}
	}
	if len(s.fake.pushed) != 2 {
		t.Errorf("%+v", s.fake.pushed)
	}
}

func TestPathsThatMayBeIncompleteAreNotKnown(t *testing.T) {
	files := strings.Repeat(`"f",`, githubFiles) + `"f"`
	for old, new := range map[string]string{
		`"forced":false`:       `"forced":true`,
		`"before":"aa"`:        `"before":"0000000000000000000000000000000000000000"`,
		`"removed":["c.toml"]`: `"removed":[` + files + `]`,
		`"ref":`:               `"total_commits":3,"ref":`,
		`{"added":["b.toml"],"modified":["a.toml"],"removed":[]}`: `{}`,
	} {
		body := strings.Replace(hubBody, old, new, 1)
		if p, err := parsePush(testHooks[0], []byte(body)); err != nil || p.Paths != nil || body == hubBody {
			t.Errorf("%s: %v %v", old, p.Paths, err)
		}
	}
}

func TestParseHooks(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const good = "[[webhook]]\nname = \"a\"\nkind = \"github\"\nsecret = \"0123456789abcdef\"\n"
	write("key", "fedcba9876543210\n", 0o600)
	hooks, err := ParseHooks(write("good", good+"[[webhook]]\nname = \"b\"\nkind = \"gitea\"\nsecret_file = \"key\"\n", 0o600))
	if err != nil || len(hooks) != 2 || string(hooks[1].Secret) != "fedcba9876543210" {
		t.Errorf("%+v %v", hooks, err)
	}
	for i, tt := range []struct{ text, says string }{
		{good + good, "two of that name"},
		{strings.Replace(good, "github", "gitlab", 1), "github, gitea, generic"},
		{strings.Replace(good, "0123456789abcdef", "short", 1), "openssl rand"},
		{strings.Replace(good, `"a"`, `"A b"`, 1), "small letters"},
		{good + "odd = 1\n", "odd"},
		{good + "secret_file = \"key\"\n", "either"},
		{strings.Replace(good, `secret = "0123456789abcdef"`, `secret_file = "none"`, 1), "secret_file"},
	} {
		if _, err := ParseHooks(write(fmt.Sprint(i), tt.text, 0o600)); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, err := ParseHooks(write("open", good, 0o644)); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("%v", err)
	}
}
