package host

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

func TestReleaseProgram(t *testing.T) {
	resident := func() int {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatalf("reading this process: %v", err)
		}
		m := regexp.MustCompile(`RssFile:\s+(\d+)`).FindSubmatch(status)
		n, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := resident()
	if err := ReleaseProgram(); err != nil {
		t.Fatal(err)
	}
	if after := resident(); after > before {
		t.Errorf("%d KB of files before, %d KB after", before, after)
	}
}
