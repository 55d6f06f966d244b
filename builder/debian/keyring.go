package debian

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

// archiveKeys are the public keys of the Debian archive for bookworm and
// trixie (automatic, security and stable release keys), as the package
// debian-archive-keyring 2025.1 ships them.
//
//go:embed keyring/*.asc
var archiveKeys embed.FS

// loadKeyring reads the keys that may sign a Release: those of a file, armored
// or binary, or the embedded ones for an empty name.
func loadKeyring(file string) (openpgp.EntityList, error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading keyring: %w: give a file of OpenPGP public keys with --keyring", err)
		}
		keys, err := readKeys(data)
		if err != nil {
			return nil, fmt.Errorf("reading keyring %q: %w: give a file of OpenPGP public keys, armored or binary, with --keyring", file, err)
		}
		return keys, nil
	}
	names, err := archiveKeys.ReadDir("keyring")
	if err != nil {
		return nil, fmt.Errorf("listing the embedded keyring: %w: report this as a bug", err)
	}
	var all openpgp.EntityList
	for _, n := range names {
		data, err := archiveKeys.ReadFile(path.Join("keyring", n.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading embedded keys: %w: report this as a bug", err)
		}
		keys, err := readKeys(data)
		if err != nil {
			return nil, fmt.Errorf("reading embedded keys %q: %w: report this as a bug", n.Name(), err)
		}
		all = append(all, keys...)
	}
	return all, nil
}

// readKeys reads armored blocks, one after another, or a binary keyring.
func readKeys(data []byte) (openpgp.EntityList, error) {
	if !bytes.Contains(data, []byte("-----BEGIN PGP")) {
		return nonEmpty(openpgp.ReadKeyRing(bytes.NewReader(data)))
	}
	var all openpgp.EntityList
	// The decoder takes over a bufio.Reader as it is; any other reader it
	// would wrap and read past the end of the block.
	for r := bufio.NewReader(bytes.NewReader(data)); ; {
		block, err := armor.Decode(r)
		if errors.Is(err, io.EOF) {
			return nonEmpty(all, nil)
		}
		if err != nil {
			return nil, err
		}
		keys, err := openpgp.ReadKeyRing(block.Body)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
}

func nonEmpty(keys openpgp.EntityList, err error) (openpgp.EntityList, error) {
	if err == nil && len(keys) == 0 {
		err = errors.New("no public key in it")
	}
	return keys, err
}
