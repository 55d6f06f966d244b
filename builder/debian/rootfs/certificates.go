package rootfs

import (
	"bytes"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf16"
)

// Where ca-certificates keeps single certificates and OpenSSL looks for trusted ones.
const (
	certDir   = "/usr/share/ca-certificates"
	trustDir  = "/etc/ssl/certs"
	bundle    = trustDir + "/ca-certificates.crt"
	confTitle = "# Certificates below " + certDir + " that this system trusts, one a line;\n# an exclamation mark before the name means not trusted. See update-ca-certificates(8).\n"
)

// certificates trusts every certificate of the packages: the bundle that most
// programs read, and the directory that OpenSSL searches by subject hash.
func (b *build) certificates() error {
	var all []byte
	conf := confTitle
	hashes := map[string]int{}
	seen := map[string]bool{}
	rename := strings.NewReplacer(" ", "_", ",", "_", "(", "=", ")", "=")
	for _, file := range slices.Sorted(maps.Keys(b.kept)) {
		rel, ok := strings.CutPrefix(file, certDir+"/")
		if !ok || !strings.HasSuffix(file, ".crt") {
			continue
		}
		text := b.kept[file]
		all = append(append(all, bytes.TrimRight(text, "\n")...), '\n')
		conf += rel + "\n"
		link := rename.Replace(strings.TrimSuffix(path.Base(file), ".crt")) + ".pem"
		if err := b.layer.add(generated{path: trustDir + "/" + link, link: file}); err != nil {
			return err
		}
		block, _ := pem.Decode(text)
		if block == nil || block.Type != "CERTIFICATE" {
			return fmt.Errorf("reading the certificate %q: it is not PEM: leave its package out", file)
		}
		if seen[string(block.Bytes)] {
			continue
		}
		seen[string(block.Bytes)] = true
		hash, err := subjectHash(block.Bytes)
		if err != nil {
			return fmt.Errorf("reading the certificate %q: %w: leave its package out", file, err)
		}
		name := fmt.Sprintf("%08x.%d", hash, hashes[fmt.Sprint(hash)])
		hashes[fmt.Sprint(hash)]++
		if err := b.layer.add(generated{path: trustDir + "/" + name, link: link}); err != nil {
			return err
		}
	}
	return b.layer.addAll(
		generated{path: bundle, body: all},
		generated{path: "/etc/ca-certificates.conf", body: []byte(conf)},
		generated{path: "/usr/local/share/ca-certificates", dir: true},
	)
}

// tbsCertificate is the beginning of RFC 5280's TBSCertificate. Parsing no
// further accepts old roots that crypto/x509 refuses for their serial number.
type tbsCertificate struct {
	Version                              int `asn1:"optional,explicit,default:0,tag:0"`
	Serial, Algorithm, Issuer, Validity_ asn1.RawValue
	Subject                              asn1.RawValue
}

// subjectHash is OpenSSL's X509_NAME_hash of a certificate's subject: the first
// four bytes, little endian, of the SHA-1 of the name's canonical form.
func subjectHash(der []byte) (uint32, error) {
	var cert struct{ TBS tbsCertificate }
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		return 0, err
	}
	h := sha1.New()
	for rest := cert.TBS.Subject.Bytes; len(rest) > 0; {
		var set asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &set); err != nil {
			return 0, err
		}
		canon, err := canonicalSet(set.Bytes)
		if err != nil {
			return 0, err
		}
		h.Write(canon)
	}
	return binary.LittleEndian.Uint32(h.Sum(nil)), nil
}

// canonicalSet is one relative name with its strings made comparable, in DER.
func canonicalSet(body []byte) ([]byte, error) {
	var attributes [][]byte
	for len(body) > 0 {
		var a struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		rest, err := asn1.Unmarshal(body, &a)
		if err != nil {
			return nil, err
		}
		body = rest
		if text, ok := decodeString(a.Value); ok {
			a.Value = asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: canonicalText(text)}
		}
		der, err := asn1.Marshal(a)
		if err != nil {
			return nil, err
		}
		attributes = append(attributes, der)
	}
	if len(attributes) == 0 {
		return nil, errors.New("a subject has an empty part")
	}
	slices.SortFunc(attributes, bytes.Compare)
	return asn1.Marshal(asn1.RawValue{Class: asn1.ClassUniversal, Tag: asn1.TagSet, IsCompound: true, Bytes: bytes.Join(attributes, nil)})
}

// String types that encoding/asn1 has no name for.
const (
	tagUniversalString = 28
	tagVisibleString   = 26
)

// decodeString gives the text of the string types that OpenSSL canonicalises.
func decodeString(v asn1.RawValue) ([]byte, bool) {
	if v.Class != asn1.ClassUniversal {
		return nil, false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, tagVisibleString:
		return v.Bytes, true
	case asn1.TagT61String:
		var out []rune
		for _, c := range v.Bytes {
			out = append(out, rune(c))
		}
		return []byte(string(out)), true
	case asn1.TagBMPString:
		var units []uint16
		for i := 0; i+1 < len(v.Bytes); i += 2 {
			units = append(units, binary.BigEndian.Uint16(v.Bytes[i:]))
		}
		return []byte(string(utf16.Decode(units))), true
	case tagUniversalString:
		var out []rune
		for i := 0; i+3 < len(v.Bytes); i += 4 {
			out = append(out, rune(binary.BigEndian.Uint32(v.Bytes[i:])))
		}
		return []byte(string(out)), true
	}
	return nil, false
}

// canonicalText trims ASCII space, folds runs of it, and lowers ASCII letters.
func canonicalText(text []byte) []byte {
	space := func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
	out := make([]byte, 0, len(text))
	for _, c := range text {
		switch {
		case space(c):
			if len(out) > 0 && out[len(out)-1] != ' ' {
				out = append(out, ' ')
			}
		case c >= 'A' && c <= 'Z':
			out = append(out, c+'a'-'A')
		default:
			out = append(out, c)
		}
	}
	return bytes.TrimRight(out, " ")
}
