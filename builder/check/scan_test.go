package check

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestScanLayer(t *testing.T) {
	plain := layerTar(t, append(base(), file("usr/bin/run", 0o755, "#!/bin/sh -e\nexit\n"), file("etc/.wh.gone", 0, ""),
		file("opt/.wh..wh..opq", 0, ""), file(".wh..wh.plnk", 0, ""))...)
	want := scanBytes(t, plain)
	for name, raw := range map[string][]byte{"gzip": gzipped(t, plain), "zstd": zstded(t, plain)} {
		got := scanBytes(t, raw)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s differs", name)
		}
	}
	raw, err := json.Marshal(want)
	must(t, err)
	var back LayerFacts
	must(t, json.Unmarshal(raw, &back))
	if !reflect.DeepEqual(&back, want) {
		t.Error("facts do not survive JSON")
	}
	last := want.Entries[len(want.Entries)-3:]
	if last[0].Script != "#!/bin/sh -e" || last[1].Path != "/etc/gone" || last[1].Type != TypeWhiteout || last[2].Path != "/opt" || last[2].Type != TypeOpaque {
		t.Errorf("got %+v", last)
	}
}

func TestScanBadLayers(t *testing.T) {
	plain := layerTar(t, base()...)
	for name, raw := range map[string][]byte{
		"cut tar": plain[:len(plain)/2], "cut gzip": gzipped(t, plain)[:200], "cut zstd": zstded(t, plain)[:200],
		"gzip header": {0x1f, 0x8b, 0, 0}, "zstd header": {0x28, 0xb5, 0x2f, 0xfd, 0xff}, "text": bytes.Repeat([]byte("no tar "), 200),
	} {
		_, err := ScanLayer(context.Background(), bytes.NewReader(raw))
		if err == nil || !strings.HasSuffix(err.Error(), ": build or fetch the image again") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ScanLayer(ctx, bytes.NewReader(plain)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

// TestScanHostileELF flips every byte of the headers: whatever a file says, it
// is described, not trusted.
func TestScanHostileELF(t *testing.T) {
	f := program("libc.so.6")
	f.has = []string{"X_1", "X_2"}
	f.wants = []VersionNeed{{File: "libc.so.6", Versions: []string{"A", "B"}}}
	good := f.bytes()
	for i := 4; i < len(good); i++ {
		for _, value := range []byte{0, 0x7f, 0xff} {
			bad := bytes.Clone(good)
			bad[i] = value
			inspect(bytes.NewReader(bad), int64(len(bad)))
		}
		inspect(bytes.NewReader(good[:i]), int64(i))
	}
}

func TestLargeELFGoesThroughDisk(t *testing.T) {
	f := program("libc.so.6")
	body := append(f.bytes(), make([]byte, inMemory)...)
	t.Setenv("TMPDIR", t.TempDir())
	facts := scanBytes(t, layerTar(t, item{name: "app", mode: 0o755, body: body}))
	if e := facts.Entries[0].ELF; e == nil || !reflect.DeepEqual(e.Needed, []string{"libc.so.6"}) || e.Arch != gc {
		t.Errorf("got %+v", e)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestParseAttributes(t *testing.T) {
	for _, bad := range [][]byte{{}, {'B'}, []byte("A\x02\x00\x00\x00"), []byte("A\xff\xff\xff\xff"), attributes("rv64gc")[:20]} {
		if arch, err := parseAttributes(bad); err == nil {
			t.Errorf("%q: got %q and no error", bad, arch)
		}
	}
	other := []byte("A\x0a\x00\x00\x00gnu\x00xx")
	if arch, err := parseAttributes(append(other, attributes("rv64gc")[1:]...)); err != nil || arch != "rv64gc" {
		t.Errorf("after another vendor: %q, %v", arch, err)
	}
}

func TestISAStrings(t *testing.T) {
	for text, want := range map[string]string{
		gc:                             "rv64gc",
		"rv64gc":                       "rv64gc",
		"RV64IMAFDC_Zicsr_Zifencei":    "rv64gc",
		"rv64imac":                     "rv64imac",
		"rv64i2p1_m2p0_zba1p0_zbb1":    "rv64im_zba_zbb",
		"rv64gcv_zvl256b1p0":           "rv64gcv_zvl256b",
		"rv64gcb_xtheadba1p0":          "rv64gcb_xtheadba",
		"rva20u64":                     "rv64imafdc_zicntr",
		"rva22u64_zbc":                 "rv64imafdc_zba_zbb_zbc_zbs_zfhmin_zicbom_zicbop_zicboz_zicntr_zihintpause_zihpm_zkt",
		"rv64gc_zve32x1p0_zvl128b_zcb": "rv64gc_zcb_zve32x_zvl128b",
	} {
		set, err := parseISA(text)
		if err != nil || set.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, set, err, want)
		}
	}
	for _, c := range [][3]string{
		{gc, "rva20u64", ""},
		{"rva20u64", "rv64gc", ""},
		{"rv64gc_zcd_zihintpause_zkt", "rv64gc", ""},
		{"rva22u64", "rva23u64", ""},
		{"rva23u64", "rva22u64", "v zawrs zcb zcmop zfa zicond zvbb zvfhmin supm zimop"},
		{"rv64gcv", "rv64gc_zve64d", "v"},
		{"rv64gc_zba_zbb", "rv64gcb", ""},
		{"rv64gc_zbc", "rv64gcb", "zbc"},
	} {
		file, err := parseISA(c[0])
		must(t, err)
		profile, err := parseISA(c[1])
		must(t, err)
		got, want := isa{}, isa{}
		for _, n := range file.beyond(profile) {
			got[n] = true
		}
		for _, n := range strings.Fields(c[2]) {
			want[n] = true
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s on %s: got %v, want %v", c[0], c[1], got, want)
		}
	}
}
