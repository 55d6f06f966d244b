package batch

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// The elements of a JUnit report as Jenkins' schema (junit-10.xsd) has them and
// GitLab reads them: a suite is a recipe, a case one of its tests, or what else
// became of it.
type (
	junitReport struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property,omitempty"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string      `xml:"name,attr"`
		Class   string      `xml:"classname,attr"`
		File    string      `xml:"file,attr,omitempty"`
		Time    string      `xml:"time,attr"`
		Skipped *junitWhy   `xml:"skipped"`
		Error   *junitWhy   `xml:"error"`
		Failure *junitWhy   `xml:"failure"`
		Out     *junitLines `xml:"system-out"`
	}
	junitWhy struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
	junitLines struct {
		Text string `xml:",chardata"`
	}
)

func writeJUnit(w io.Writer, r *Report) error {
	doc := junitReport{Name: "riscv-build", Time: junitTime(r.Seconds)}
	for _, e := range r.Recipes {
		s := junitSuite{
			Name: e.Name, Time: junitTime(e.Seconds), Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
			Properties: junitProperties(e), Cases: junitCases(e),
		}
		for _, c := range s.Cases {
			s.Tests++
			s.Failures += count(c.Failure)
			s.Errors += count(c.Error)
			s.Skipped += count(c.Skipped)
		}
		doc.Tests, doc.Failures, doc.Errors, doc.Skipped = doc.Tests+s.Tests, doc.Failures+s.Failures, doc.Errors+s.Errors, doc.Skipped+s.Skipped
		doc.Suites = append(doc.Suites, s)
	}
	text, err := xml.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}

func count(why *junitWhy) int {
	if why == nil {
		return 0
	}
	return 1
}

func junitTime(seconds float64) string { return fmt.Sprintf("%.3f", seconds) }

func junitProperties(e Entry) []junitProperty {
	var out []junitProperty
	for _, p := range []junitProperty{
		{"version", e.Version}, {"base", e.Base}, {"outcome", string(e.Outcome)}, {"digest", e.Digest.String()},
		{"references", strings.Join(e.References, " ")},
	} {
		if p.Value != "" {
			out = append(out, p)
		}
	}
	return out
}

// junitCases are the recipe's tests; before them, what a build failed with
// elsewhere, or that there is an image.
func junitCases(e Entry) []junitCase {
	var cases []junitCase
	if len(e.failedTests()) == 0 {
		cases = append(cases, junitImage(e))
	}
	for _, t := range e.Tests {
		c := junitCase{Name: t.Name, Class: e.Name, File: junitFile(e), Time: junitTime(t.Seconds)}
		if !t.Passed {
			first, _, _ := strings.Cut(t.Output, "\n")
			c.Failure = &junitWhy{Message: plain(first), Type: "test", Text: plain(t.Output)}
		}
		cases = append(cases, c)
	}
	return cases
}

// junitFile is the recipe's file; one of the catalogue has none in the repository.
func junitFile(e Entry) string {
	if strings.HasPrefix(e.File, "catalog:") {
		return ""
	}
	return e.File
}

// junitImage is the case that stands for the image as a whole.
func junitImage(e Entry) junitCase {
	c := junitCase{Name: "image", Class: e.Name, File: junitFile(e), Time: junitTime(e.Seconds)}
	why := &junitWhy{Message: e.Why, Type: string(e.Outcome)}
	switch e.Outcome {
	case Blocked, NotStarted:
		c.Skipped = why
	case Failed, Interrupted:
		first, _, _ := strings.Cut(e.Error, "\n")
		c.Name = "stage " + e.Stage
		*why = junitWhy{Message: plain(first), Type: e.Kind, Text: plain(e.Error)}
		if e.Exit == 1 || e.Exit == 2 { // the software or its recipe, not the machine or the network
			c.Failure = why
		} else {
			c.Error = why
		}
		if text := lastLines(e.Log); text != "" {
			c.Out = &junitLines{text}
		}
	}
	return c
}
