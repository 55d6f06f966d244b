package batch

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"strings"
)

// summaryLimit is how long a summary may get: GitHub shows none of more than 1 MiB.
const summaryLimit = 900 << 10

// writeMarkdown writes a table of the recipes and, folded, why some failed.
func writeMarkdown(w io.Writer, r *Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## riscv-build: %s\n\n", headline(r))
	b.WriteString("| recipe | outcome | time | size | digest |\n|---|---|--:|--:|---|\n")
	for _, e := range r.Recipes {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", cell(e.title()), cell(outcome(e)), spent(e.Seconds), megabytes(e.Size), shortDigest(e))
	}
	t := r.Totals
	fmt.Fprintf(&b, "\n%d recipes in %s: %d tests, %d failed, %d cached; %d engine starts; %s downloaded, %s uploaded; layers of %s, %s if nothing were shared.\n",
		t.Recipes, spent(r.Seconds), t.Tests, t.TestsFailed, t.TestsCached, t.EngineStarts, orNone(t.Downloaded), orNone(t.Uploaded),
		orNone(t.LayerBytes.Unique), orNone(t.LayerBytes.Unshared))
	for _, e := range r.Recipes {
		if e.Outcome != Failed && e.Outcome != Interrupted {
			continue
		}
		text := failure(e)
		if b.Len()+len(text) > summaryLimit {
			b.WriteString("\nThe other failures do not fit in here: see the log.\n")
			break
		}
		b.WriteString(text)
	}
	if r.Error != "" && t.Outcomes[Failed] == 0 {
		fmt.Fprintf(&b, "\n%s\n", fenced(plain(r.Error)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// headline says in a few words how a batch ended.
func headline(r *Report) string {
	var parts []string
	for _, o := range Outcomes {
		if n := r.Totals.Outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing to do")
}

// outcome says what became of a recipe, in the table.
func outcome(e Entry) string {
	switch {
	case e.Outcome == Failed:
		return fmt.Sprintf("**failed** in %s", e.Stage)
	case e.Outcome == Built && e.Cached:
		return "built, nothing had changed"
	case e.Why != "" && !e.Outcome.OK():
		return fmt.Sprintf("%s: %s", e.Outcome, e.Why)
	}
	return string(e.Outcome)
}

// failure is what a recipe failed with, folded.
func failure(e Entry) string {
	var b strings.Builder
	where := "failed in stage " + e.Stage
	if e.Outcome == Interrupted {
		where = "interrupted in stage " + e.Stage
	}
	fmt.Fprintf(&b, "\n<details><summary>%s: %s</summary>\n\n", html.EscapeString(e.title()), html.EscapeString(where))
	fmt.Fprintf(&b, "%s\n", fenced(plain(e.Error)))
	for _, t := range e.failedTests() {
		fmt.Fprintf(&b, "\nTest %s:\n\n%s\n", inline(t.Name), fenced(plain(t.Output)))
	}
	if text := lastLines(e.Log); text != "" {
		fmt.Fprintf(&b, "\nThe last lines of its log:\n\n%s\n", fenced(text))
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// fenced is a block of text that no text can end.
func fenced(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + "text\n" + text + "\n" + fence
}

// inline is code within a line, which no text can end.
func inline(text string) string {
	ticks := "`"
	for strings.Contains(text, ticks) {
		ticks += "`"
	}
	return ticks + " " + oneLine(text) + " " + ticks
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// cell is a text in a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;").Replace(oneLine(text))
}

func spent(seconds float64) string {
	if seconds < 60 {
		return fmt.Sprintf("%.1f s", seconds)
	}
	s := int(seconds + 0.5)
	return fmt.Sprintf("%d min %02d s", s/60, s%60)
}

func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return orNone(n)
}

func orNone(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }

// shortDigest is as much of a digest as tells images apart.
func shortDigest(e Entry) string {
	if e.Digest == "" {
		return ""
	}
	return "`" + e.Digest.String()[:min(len(e.Digest), len("sha256:")+12)] + "`"
}
