package file

import (
	"encoding/binary"
	"errors"

	"github.com/gorge-stream/gorge/internal/connector"
)

// position is where a split stands. As bytes, version 1:
//
//	1 byte   1
//	1 byte   1 when the rest of a record over the limit is still to be skipped, else 0
//	uvarint  offset in the inflated stream
type position struct {
	offset   int64
	skipping bool
}

const positionVersion = 1

func (p position) encode() connector.Position {
	out := []byte{positionVersion, 0}
	if p.skipping {
		out[1] = 1
	}
	return binary.AppendUvarint(out, uint64(p.offset))
}

// decodePosition reads what encode wrote; no bytes are the start.
func decodePosition(b connector.Position) (position, error) {
	if len(b) == 0 {
		return position{}, nil
	}
	if len(b) < 3 || b[0] != positionVersion || b[1] > 1 {
		return position{}, errors.New("it is not of this version")
	}
	n, k := binary.Uvarint(b[2:])
	if k != len(b)-2 || int64(n) < 0 {
		return position{}, errors.New("its offset is damaged")
	}
	return position{offset: int64(n), skipping: b[1] == 1}, nil
}
