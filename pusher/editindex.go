package pusher

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// editManifests changes the entries of an index. All bytes but those of the
// entries that edit makes anew, and the white space between entries, stay.
func editManifests(raw []byte, edit func([]json.RawMessage) ([]json.RawMessage, error)) ([]byte, error) {
	from, to, err := valueOf(raw, "manifests")
	if err != nil {
		return nil, err
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(raw[from:to], &entries); err != nil {
		return nil, err
	}
	if entries, err = edit(entries); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.Write(raw[:from])
	out.WriteByte('[')
	for i, e := range entries {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(e)
	}
	out.WriteByte(']')
	out.Write(raw[to:])
	return out.Bytes(), nil
}

// valueOf finds where the value of a key lies in a JSON object.
func valueOf(raw []byte, key string) (from, to int, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return 0, 0, errors.Join(errors.New("it is no JSON object"), err)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return 0, 0, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return 0, 0, err
		}
		if name == key {
			to = int(dec.InputOffset())
			from = to - len(value)
		}
	}
	if _, err := dec.Token(); err != nil {
		return 0, 0, err // cut off before its end
	}
	if to == 0 {
		return 0, 0, fmt.Errorf("it has no %q", key)
	}
	return from, to, nil
}
