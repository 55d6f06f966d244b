package debian

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// DSC is a source package's control file.
type DSC struct {
	Source  string
	Version string
	Format  string       // "3.0 (quilt)", "3.0 (native)", "1.0"
	Files   []SourceFile // in the order of the file
}

// SourceFile is a file of a source package; it stands beside the .dsc.
type SourceFile struct {
	Name   string
	Size   int64  // bytes
	SHA256 string // hex, lower case
}

// ParseDSC reads a .dsc, clear-signed or not. The signature is that of the
// uploader and is not checked: a recipe names the .dsc by its SHA-256.
func ParseDSC(data []byte) (*DSC, error) {
	if block, _ := clearsign.Decode(data); block != nil {
		data = block.Plaintext
	} else if bytes.Contains(data, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, errors.New("reading the .dsc: its signature is cut off: fetch it again")
	}
	v, err := newStanzas(bytes.NewReader(data), "source", "version", "format", "checksums-sha256").next()
	if errors.Is(err, io.EOF) {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the .dsc: %w: name the .dsc of a Debian source package", err)
	}
	d := &DSC{Source: v[0], Version: v[1], Format: v[2]}
	if d.Source == "" || d.Version == "" {
		return nil, errors.New("reading the .dsc: it names no source or no version: name the .dsc of a Debian source package")
	}
	if strings.TrimSpace(v[3]) == "" {
		return nil, fmt.Errorf("reading the .dsc of %q: it has no Checksums-Sha256: name one made since 2010", d.Source)
	}
	if d.Files, err = parseChecksums(v[3]); err != nil {
		return nil, fmt.Errorf("reading the .dsc of %q: %w: fetch it again", d.Source, err)
	}
	return d, nil
}

// parseChecksums reads the lines of a Checksums-Sha256 field.
func parseChecksums(field string) ([]SourceFile, error) {
	var out []SourceFile
	for line := range strings.SplitSeq(strings.TrimSpace(field), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("checksum line %q has not three words", line)
		}
		if sum, err := hex.DecodeString(f[0]); err != nil || len(sum) != 32 {
			return nil, fmt.Errorf("checksum line %q: %q is no SHA-256", line, f[0])
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fmt.Errorf("checksum line %q: %q is no size", line, f[1])
		}
		if strings.ContainsRune(f[2], '/') || f[2] == "." || f[2] == ".." {
			return nil, fmt.Errorf("checksum line %q: %q is no file name", line, f[2])
		}
		out = append(out, SourceFile{Name: f[2], Size: size, SHA256: strings.ToLower(f[0])})
	}
	return out, nil
}
