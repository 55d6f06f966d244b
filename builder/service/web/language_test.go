package web

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template/parse"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/access"
)

func languages(t *testing.T) (en, zh *language) {
	t.Helper()
	s := &site{now: func() time.Time { return clock }}
	var err error
	if s.assets, err = loadAssets(); err != nil {
		t.Fatal(err)
	}
	all, err := loadLanguages(s)
	if err != nil {
		t.Fatal(err)
	}
	return all[0], all[1]
}

var verbs = regexp.MustCompile(`%[a-z]`)

func TestCatalogues(t *testing.T) {
	en, zh := languages(t)
	keys := slices.Sorted(maps.Keys(en.messages))
	if other := slices.Sorted(maps.Keys(zh.messages)); !slices.Equal(keys, other) {
		for _, k := range append(keys, other...) {
			if _, ok := en.messages[k]; !ok {
				t.Errorf("only in Chinese: %s", k)
			}
			if _, ok := zh.messages[k]; !ok {
				t.Errorf("only in English: %s", k)
			}
		}
	}
	for _, k := range keys {
		if a, b := verbs.FindAllString(en.messages[k], -1), verbs.FindAllString(zh.messages[k], -1); !slices.Equal(a, b) {
			t.Errorf("%s has %v in English, %v in Chinese", k, a, b)
		}
	}
	var computed []string
	for _, st := range service.Statuses {
		computed = append(computed, "status."+string(st))
	}
	for _, st := range builder.Stages {
		computed = append(computed, "stage."+st)
	}
	for _, st := range urgency {
		computed = append(computed, "step."+st)
	}
	for _, when := range conditions {
		computed = append(computed, "when."+when)
	}
	for _, r := range append(access.Roles, access.Nobody) {
		computed = append(computed, "role."+string(r))
	}
	used := usedKeys(t)
	for _, k := range append(computed, used...) {
		if _, ok := en.messages[k]; !ok {
			t.Errorf("there is no message %s", k)
		}
	}
	family := regexp.MustCompile(`^(ago|in|cause|error|origin|unit|time|use|language)\.`)
	for _, k := range keys {
		if !slices.Contains(used, k) && !slices.Contains(computed, k) && !family.MatchString(k) {
			t.Errorf("nobody says %s", k)
		}
	}
}

// usedKeys are those that templates and code name.
func usedKeys(t *testing.T) []string {
	t.Helper()
	var used []string
	plainKey, counted := regexp.MustCompile(`\b(?:t|text)\(? ?"([a-z0-9.]+[a-z0-9])"`), regexp.MustCompile(`\bn "([a-z0-9.]+)"`)
	each(t, templateFiles, func(_, text string) {
		for _, m := range plainKey.FindAllStringSubmatch(text, -1) {
			used = append(used, m[1])
		}
		for _, m := range counted.FindAllStringSubmatch(text, -1) {
			used = append(used, m[1]+".one", m[1]+".other")
		}
	})
	return append(used, "build.title", "build.norecipe", "schedules.exists", "login.wrong")
}

func each(t *testing.T, files fs.FS, do func(name, text string)) {
	t.Helper()
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		do(path, string(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoTextInTemplates finds words that are in a template and not in a
// catalogue. The program's own name and commands are no words.
func TestNoTextInTemplates(t *testing.T) {
	en, _ := languages(t)
	own := regexp.MustCompile(`riscv-build|docker pull`)
	for name, page := range en.pages {
		for _, tmpl := range page.Templates() {
			var b strings.Builder
			if tmpl.Tree != nil {
				flat(&b, tmpl.Tree.Root)
			}
			z := html.NewTokenizer(strings.NewReader(strings.ReplaceAll(b.String(), "noscript", "div")))
			for z.Next() != html.ErrorToken {
				tok := z.Token()
				texts := []string{}
				if tok.Type == html.TextToken {
					texts = append(texts, tok.Data)
				}
				for _, a := range tok.Attr {
					if slices.Contains([]string{"title", "aria-label", "placeholder", "alt", "data-label"}, a.Key) {
						texts = append(texts, a.Val)
					}
				}
				for _, text := range texts {
					if strings.ContainsFunc(own.ReplaceAllString(text, ""), unicode.IsLetter) {
						t.Errorf("%s, %s: %q is in no catalogue", name, tmpl.Name(), strings.TrimSpace(text))
					}
				}
			}
		}
	}
}

// flat writes a template without what it computes.
func flat(b *strings.Builder, n parse.Node) {
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, c := range l.Nodes {
				flat(b, c)
			}
		}
	}
	switch n := n.(type) {
	case *parse.ListNode:
		list(n)
	case *parse.TextNode:
		b.Write(n.Text)
	case *parse.IfNode:
		list(n.List)
		list(n.ElseList)
	case *parse.RangeNode:
		list(n.List)
		list(n.ElseList)
	case *parse.WithNode:
		list(n.List)
		list(n.ElseList)
	}
}

func TestFormats(t *testing.T) {
	en, zh := languages(t)
	for _, tt := range []struct{ got, want string }{
		{en.bytes(0), "0 B"}, {en.bytes(999), "999 B"}, {en.bytes(1234), "1.2 kB"}, {en.bytes(123_456_789), "123 MB"}, {en.bytes(999_999), "1.0 MB"},
		{en.seconds(.314), "0.31 s"}, {en.seconds(12.4), "12 s"}, {en.seconds(200), "3 min 20 s"}, {zh.seconds(7500), "2 小时 5 分"}, {en.seconds(59.9), "1 min 0 s"},
		{en.relative(-time.Second), "just now"}, {en.relative(-time.Minute), "1 minute ago"}, {zh.relative(-3 * time.Hour), "3 小时前"},
		{en.relative(11*time.Hour + time.Minute), "in 11 hours"}, {en.relative(-50 * time.Hour), "2 days ago"},
		{number(1234567), "1,234,567"}, {number(-123), "-123"}, {en.count("queue.running", 1), "1 running"},
		{plain("\x1b[1;32mok\x1b[0m\x1b]0;title\x07 a\r\nb\x00\u202e"), "ok a\nb"}, {plain("10%\r50%\r100%\n"), "100%\n"}, {plain("\x1b"), ""}, {plain("中文\xff"), "中文\uFFFD"},
		{short(id("x")), id("x").Encoded()[:12]}, {short("x"), "x"}, {fit("short"), "short"}, {fit("a name that is far too long to fit"), "a name that is far too l…"},
		{local("/builds/1?x=2"), "/builds/1?x=2"}, {local("https://evil.example/"), "/"}, {local("//evil.example"), "/"}, {local(""), "/"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestLanguageOf(t *testing.T) {
	h := newSite(t, newFake(0))
	for header, want := range map[string]string{
		"": "en", "fr": "en", "zh": "zh-CN", "zh-TW,zh;q=0.9,en;q=0.8": "zh-CN", "en;q=0.5, zh-Hans-CN;q=0.8": "zh-CN", "fr, en;q=0.9, zh;q=0.5": "en",
	} {
		if got := get(h, access.Read, "/recipes", header).Header().Get("Content-Language"); got != want {
			t.Errorf("%q gives %s", header, got)
		}
	}
}
