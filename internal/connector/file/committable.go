package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector"
)

// committable is what a checkpoint keeps of the output of one epoch, as JSON.
type committable struct {
	Version int    `json:"version"`
	Length  int64  `json:"length,omitempty"` // of the file, or of the part
	Tail    uint32 `json:"tail,omitempty"`   // CRC-32C of the last 4 KiB up to there
	// Final: one file, which ends there.
	Final bool `json:"final,omitempty"`
	// Part is the name of a part of a folder, Pending its name until it is committed; both empty for one file.
	Part    string `json:"part,omitempty"`
	Pending string `json:"pending,omitempty"`
}

const committableVersion = 1

func (c committable) encode() (connector.Committable, error) {
	c.Version = committableVersion
	return json.Marshal(c)
}

func decodeCommittable(raw connector.Committable) (committable, error) {
	var c committable
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, errors.New("something follows it")
	}
	switch {
	case c.Version != committableVersion:
		return c, fmt.Errorf("it is of version %d", c.Version)
	case c.Length < 0:
		return c, errors.New("its length is negative")
	case c.Part == "" && c.Pending == "":
		return c, nil
	case c.Final:
		return c, errors.New("it is neither a file nor a part")
	case !isName(c.Part) || !isName(c.Pending):
		return c, errors.New("the name of its part is no name")
	}
	return c, nil
}

// isName reports whether a name stays within its folder.
func isName(s string) bool { return s != "" && s[0] != '.' && filepath.Base(s) == s }

// decode reads the committables of an epoch; part tells what they have to be of.
func (t *target) decode(raw []connector.Committable, part bool) ([]committable, error) {
	var out []committable
	for _, r := range raw {
		c, err := decodeCommittable(r)
		if err == nil && (c.Part != "") != part {
			err = errors.New("it is of a sink that writes a folder, and this one writes one file, or the other way round")
		}
		if err != nil {
			return nil, t.refuse("file/bad-checkpoint", "what the checkpoint keeps of %s cannot be read", t.path).WithCause(err).
				WithHint("start the pipeline anew: gorge run --fresh")
		}
		out = append(out, c)
	}
	return out, nil
}

// tailBytes is how much of the end of a file tells it from others.
const tailBytes = 4 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// holds reports whether the first bytes of a file are those of a committable, and the size of the file.
func (c committable) holds(f vfs.File) (fits bool, size int64, err error) {
	info, err := f.Stat()
	if err != nil || info.Size() < c.Length {
		return false, 0, err
	}
	crc, err := tail(f, c.Length)
	return crc == c.Tail, info.Size(), err
}

// tail returns the CRC of the last bytes of the first length bytes of a file.
func tail(f io.ReaderAt, length int64) (uint32, error) {
	b := make([]byte, min(length, tailBytes))
	if _, err := f.ReadAt(b, length-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return crc32.Checksum(b, castagnoli), nil
}
