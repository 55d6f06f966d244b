package imagerefs

import (
	"fmt"
	"strings"
	"testing"
)

// found is what a file is expected to give: LINE NAME, IN where it matters.
func found(refs []Ref, where bool) string {
	var lines []string
	for _, r := range refs {
		text := fmt.Sprintf("%d %s", r.Line, r.Image)
		if r.Problem != "" {
			text = fmt.Sprintf("%d %s! %s", r.Line, r.Name, r.Problem)
		}
		if where {
			text += " in " + r.In
		}
		lines = append(lines, text)
	}
	return strings.Join(lines, "\n")
}

func env(name string) (string, bool) {
	v, ok := map[string]string{"TAG": "1.26", "EMPTY": ""}[name]
	return v, ok
}

func TestForms(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"comments", "# nothing\n---\n---\n", ""},
		{"pod", `apiVersion: v1
kind: Pod
metadata: {name: a}
spec:
  initContainers:
  - image: busybox
  containers:
  - name: x
    image: "nginx:1.26"
  - {name: y, image: ghcr.io/a/b:2}
  ephemeralContainers:
  - image: alpine@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  volumes:
  - name: data
    image: {reference: quay.io/d/e:3}
`, `6 docker.io/library/busybox:latest
9 docker.io/library/nginx:1.26
10 ghcr.io/a/b:2
12 docker.io/library/alpine@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
15 quay.io/d/e:3`},
		{"cron job, list and custom object", `---
# Source: chart/templates/cron.yaml
kind: CronJob
metadata: {name: night}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{image: a.example/x}]}}}}}
---
kind: List
items:
- kind: Deployment
  metadata: {name: web}
  spec:
    template:
      spec:
        containers:
        - image: team/web:1
- kind: Odd
  spec:
    nested: {deep: [{podTemplate: {spec: {containers: [image: odd:2]}}}]}
`, `5 a.example/x:latest
15 docker.io/team/web:1
18 docker.io/library/odd:2`},
		{"json", `{"kind":"Pod",
"spec":{"containers":[{"image":"x:1"}]}}`, "2 docker.io/library/x:1"},
		{"aliases", `x: &c [{image: a:1}]
y: &base {image: b:2}
spec:
  containers: *c
---
y: &base {image: b:2}
spec:
  containers:
  - <<: *base
    name: n
`, "1 docker.io/library/a:1\n6 docker.io/library/b:2"},
		{"no images", "containers: 3\nspec: {containers: {image: x}}\nimage: y\nvolumes: [x, {image: z}]\n", ""},
		{"no text", "containers: [{image: null}, {image: ''}, x, {image: 12}]", "1 docker.io/library/12:latest"},
		{"no name", "containers: [{image: 'A b'}]", "1 A b! invalid reference format: repository name (library/A b) must be lowercase"},
		{"a chart's template", "containers:\n- image: {{ .Values.image }}\n", "2 ?! a name is a text; a chart's templates are read as `helm template` prints them"},
		{"compose", `name: app
x-base: &base
  image: redis:8
services:
  web:
    image: nginx:${TAG}
  cache:
    <<: *base
  built:
    build: .
    image: me/built
  db: {image: "${REG:-quay.io}/db:${VERSION-2}"}
  empty: {}
`, `6 docker.io/library/nginx:1.26
3 docker.io/library/redis:8
12 quay.io/db:2`},
		{"compose variables", `services:
  a: {image: "nginx:${NOPE}"}
  b: {image: "nginx:${NOPE:?say which}"}
  c: {image: "nginx$EMPTY"}
  d: {image: "nginx:${"}
`, `2 nginx:${NOPE}! variable "NOPE" is not set
3 nginx:${NOPE:?say which}! required variable NOPE is missing a value: say which
4 docker.io/library/nginx:latest
5 nginx:${! Invalid template: "nginx:${"`},
		{"helm dry run", `NAME: x
STATUS: pending-install
HOOKS:
MANIFEST:
---
kind: Pod
spec: {containers: [{image: x:1}]}

NOTES:
1. Get the application URL: run
  kubectl port-forward: {{{
`, "7 docker.io/library/x:1"},
	} {
		refs, err := Parse("f.yaml", []byte(c.in), env)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := found(refs, false); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestWhere(t *testing.T) {
	refs, err := Parse("f.yaml", []byte("kind: Deployment\nmetadata: {name: web}\nspec: {containers: [image: x]}\n---\nservices: {db: {image: y}}"), env)
	if err != nil {
		t.Fatal(err)
	}
	if got := found(refs, true); got != "3 docker.io/library/x:latest in Deployment/web\n5 docker.io/library/y:latest in service db" || refs[0].File != "f.yaml" {
		t.Errorf("got %s", got)
	}
}

// TestHostile: no end, no panic, and no more work than the file is long.
func TestHostile(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("m0: &m0 {x: 1}\n")
	for i := 1; i < 60; i++ {
		fmt.Fprintf(&bomb, "m%d: &m%d {<<: [*m%d, *m%d]}\n", i, i, i-1, i-1)
	}
	bomb.WriteString("containers: [*m59]\n")
	for _, in := range []string{bomb.String(), "a: &a [*a]\ncontainers: *a", "containers: &a\n- <<: *a\n", strings.Repeat("[", 20000), "\x00\xff", "a: *b"} {
		refs, err := Parse("f.yaml", []byte(in), env)
		if len(refs) != 0 || err != nil && !strings.Contains(err.Error(), `reading "f.yaml"`) {
			t.Errorf("%.40q: %v, %v", in, refs, err)
		}
	}
	_, err := Parse("f.yaml", []byte("a: b\n{{- if .Values.image }}\nc: d\n"), env)
	if err == nil || !strings.Contains(err.Error(), "helm template") || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("a template: %v", err)
	}
}
