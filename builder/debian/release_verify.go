package debian

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// clockTolerance is how far a Release may be dated ahead of this machine's clock.
const clockTolerance = time.Hour

// verifyInRelease checks a clear-signed Release: a valid signature by a key of
// the keyring over the text that is then parsed, and its dates. An expired
// one is given back beside an error of kind Expired. Errors carry no URL yet.
func verifyInRelease(data []byte, keys openpgp.EntityList, now time.Time) (*release, *ArchiveError) {
	text, bad := signedText(data, keys, now)
	if bad != nil {
		return nil, bad
	}
	rel, err := parseRelease(text)
	if err != nil {
		return nil, &ArchiveError{Kind: Malformed, Err: err}
	}
	if rel.date.After(now.Add(clockTolerance)) {
		return nil, &ArchiveError{Kind: NotYetValid, Expected: "a date before " + stamp(now) + ", the time of this machine", Got: stamp(rel.date)}
	}
	if !rel.validUntil.IsZero() && now.After(rel.validUntil) {
		return rel, &ArchiveError{Kind: Expired, Expected: "Valid-Until after " + stamp(now), Got: "Valid-Until " + stamp(rel.validUntil)}
	}
	return rel, nil
}

// signedText gives the text that a key of the keyring has signed.
func signedText(data []byte, keys openpgp.EntityList, now time.Time) ([]byte, *ArchiveError) {
	block, _ := clearsign.Decode(data)
	if block == nil {
		if bytes.Contains(data, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
			return nil, &ArchiveError{Kind: Truncated, Expected: "a clear-signed message with its signature", Got: fmt.Sprintf("%d bytes without an end", len(data))}
		}
		return nil, &ArchiveError{Kind: Unsigned, Expected: "a clear-signed message", Got: fmt.Sprintf("%.40q", firstLine(data))}
	}
	// A clock that is behind would make every signature look as if it came
	// from the future; so signatures are judged at the Release's own time
	// where that is later, and the clock is judged afterwards by the caller.
	at := now
	if rel, err := parseRelease(block.Plaintext); err == nil && rel.date.Add(24*time.Hour).After(now) {
		at = rel.date.Add(24 * time.Hour)
	}
	config := &packet.Config{Time: func() time.Time { return at }}
	packets := packet.NewOpaqueReader(block.ArmoredSignature.Body)
	var reasons []error
	for n := 0; ; n++ {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) && n > 0 {
			break
		}
		if err != nil {
			reasons = append(reasons, fmt.Errorf("reading signature %d: %w", n+1, err))
			break
		}
		var one bytes.Buffer
		if err := p.Serialize(&one); err != nil {
			reasons = append(reasons, err)
			continue
		}
		if _, err = openpgp.CheckDetachedSignature(keys, bytes.NewReader(block.Bytes), &one, config); err == nil {
			return block.Plaintext, nil
		}
		reasons = append(reasons, err)
	}
	return nil, &ArchiveError{Kind: BadSignature, Expected: fmt.Sprintf("a signature by one of %d keys", len(keys)), Err: errors.Join(reasons...)}
}

func firstLine(data []byte) []byte {
	line, _, _ := bytes.Cut(data, []byte("\n"))
	return line
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
