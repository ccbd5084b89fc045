package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/gorge-stream/gorge/internal/diag"
)

// maxManifest is the most bytes of a manifest.
const maxManifest = 64 << 20

// lineWidth is the longest JSON value that is written on one line.
const lineWidth = 240

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum returns the CRC-32C of data, as Segment.CRC holds it.
func Checksum(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// Encode returns the bytes of the manifest: JSON that people can read, and a last
// line with the checksum of all before it. See docs/formats/checkpoint.md.
func (m *Manifest) Encode() []byte {
	flat, err := json.Marshal(m)
	if err != nil {
		panic("checkpoint: a manifest is plain data: " + err.Error())
	}
	out := append(appendPretty(make([]byte, 0, 2*len(flat)), flat, ""), '\n')
	return appendChecksum(out, Checksum(out))
}

func appendChecksum(dst []byte, sum uint32) []byte {
	return fmt.Appendf(dst, "{\"crc32c\":\"%08x\"}\n", sum)
}

// checksumLine is the length of the last line.
var checksumLine = len(appendChecksum(nil, 0))

// appendPretty appends the JSON value v, without white space, with its elements on
// lines of their own where it is wider than a line.
func appendPretty(dst, v []byte, indent string) []byte {
	if len(v) <= lineWidth || v[0] != '{' && v[0] != '[' {
		return append(dst, v...)
	}
	inner := indent + "  "
	dst = append(dst, v[0])
	for i := 1; i < len(v); i++ { // v[i] is the begin of an element
		dst = append(append(dst, '\n'), inner...)
		end := i + valueEnd(v[i:])
		if v[0] == '{' { // that was the name
			dst = append(append(dst, v[i:end]...), ": "...)
			i = end + 1
			end = i + valueEnd(v[i:])
		}
		dst = appendPretty(dst, v[i:end], inner)
		if i = end; v[i] == ',' {
			dst = append(dst, ',')
		}
	}
	return append(append(append(dst, '\n'), indent...), v[len(v)-1])
}

// valueEnd returns the length of the JSON value that v, without white space, begins with.
func valueEnd(v []byte) int {
	depth := 0
	for i := 0; i < len(v); i++ {
		switch v[i] {
		case '"':
			for i++; v[i] != '"'; i++ {
				if v[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // a number or word, the last of its array
			}
			depth--
		case ',', ':':
			if depth == 0 {
				return i
			}
			continue
		default:
			continue
		}
		if depth == 0 {
			return i + 1
		}
	}
	return len(v)
}

// DecodeManifest reads what Encode wrote. It refuses every other bytes.
func DecodeManifest(data []byte) (*Manifest, error) {
	if len(data) > maxManifest {
		return nil, damaged("the manifest has %d bytes, more than any that is written", len(data))
	}
	body := data[:max(0, len(data)-checksumLine)]
	if !bytes.Equal(data[len(body):], appendChecksum(nil, Checksum(body))) {
		return nil, damaged("its last line is not the checksum of what is before: bytes have changed or are missing")
	}
	// The version first: of a later one nothing else is known.
	var v struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return nil, damaged("it is not the JSON of a manifest").WithCause(err)
	}
	if v.Version != Version {
		return nil, diag.New("checkpoint/version", "the manifest has version %d, and this engine reads version %d", v.Version, Version).
			WithHint("use the version of gorge that wrote it, or a later one")
	}
	m := new(Manifest)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, damaged("it is not the JSON of a manifest").WithCause(err)
	}
	if err := m.check(); err != nil {
		return nil, damaged("what it says does not fit together").WithCause(err)
	}
	return m, nil
}

// damaged refuses the bytes of a manifest.
func damaged(format string, args ...any) *diag.Error {
	return diag.New("checkpoint/damaged", "the manifest of a checkpoint is damaged").WithCause(fmt.Errorf(format, args...))
}

// errTooLarge refuses to write a manifest that could not be read.
var errTooLarge = errors.New("the manifest would be larger than 64 MiB: sources have too many splits, or sinks hold too much that is not committed")
