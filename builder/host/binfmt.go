package host

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// What the first 20 bytes of a riscv64 ELF program are, and which of their
// bits count: any OS ABI, ET_EXEC or ET_DYN.
var (
	elfMagic = []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00")
	elfMask  = []byte("\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff")
)

// handlerName is what the handler is registered as; other tools call it so too.
const handlerName = "qemu-riscv64"

// handler is an entry of binfmt_misc (kernel: Documentation/admin-guide/binfmt-misc.rst).
type handler struct {
	name        string
	enabled     bool
	interpreter string
	flags       string // letters of P, O, C, F
	offset      int
	magic, mask []byte
}

// holds says whether the interpreter was opened when the handler was
// registered, so that it is there inside containers too.
func (h handler) holds() bool { return strings.Contains(h.flags, "F") }

// matches says whether the handler would be asked to run a program.
func (h handler) matches(program []byte) bool {
	if len(h.magic) == 0 || h.offset+len(h.magic) > len(program) {
		return false
	}
	for i, want := range h.magic {
		mask := byte(0xff)
		if i < len(h.mask) {
			mask = h.mask[i]
		}
		if (program[h.offset+i]^want)&mask != 0 {
			return false
		}
	}
	return true
}

// mounted says whether binfmt_misc is there.
func (m machine) mounted() bool {
	_, err := os.Stat(filepath.Join(m.binfmt, "register"))
	return err == nil
}

// active says whether binfmt_misc as a whole is switched on.
func (m machine) active() bool {
	status, err := os.ReadFile(filepath.Join(m.binfmt, "status"))
	return err == nil && strings.TrimSpace(string(status)) == "enabled"
}

// handlers returns the entries that riscv64 programs match, by name.
func (m machine) handlers() ([]handler, error) {
	entries, err := os.ReadDir(m.binfmt)
	if err != nil {
		return nil, fmt.Errorf("listing binfmt_misc handlers: %w", err)
	}
	program := TinyProgram()
	var found []handler
	for _, e := range entries {
		if e.Name() == "register" || e.Name() == "status" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.binfmt, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading binfmt_misc handler %q: %w", e.Name(), err)
		}
		if h := parseHandler(e.Name(), text); h.matches(program) {
			found = append(found, h)
		}
	}
	return found, nil
}

// parseHandler reads what the kernel shows of an entry. Handlers by file name
// extension have no magic and match nothing here.
func parseHandler(name string, text []byte) handler {
	h := handler{name: name}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		switch key {
		case "enabled":
			h.enabled = true
		case "interpreter":
			h.interpreter = value
		case "flags:":
			h.flags = value
		case "offset":
			h.offset, _ = strconv.Atoi(value) // the kernel writes a number
		case "magic":
			h.magic, _ = hex.DecodeString(value)
		case "mask":
			h.mask, _ = hex.DecodeString(value)
		}
	}
	return h
}

// rule is the line that registers an interpreter.
func rule(interpreter, flags string) string {
	return fmt.Sprintf(":%s:M::%s:%s:%s:%s", handlerName, escape(elfMagic), escape(elfMask), interpreter, flags)
}

func escape(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		fmt.Fprintf(&s, `\x%02x`, c)
	}
	return s.String()
}

// write writes to a control file of binfmt_misc.
func (m machine) write(file, text string) error { return put(filepath.Join(m.binfmt, file), text) }
