package table

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"github.com/gorge-stream/gorge/internal/diag"
)

// A cursor is: version u8 | fingerprint of the conditions u64 | bucket and key
// columns of the last key looked at | CRC-32C u32, in base64. It is not signed:
// it cannot name anything but a place in the table that the request names (T4),
// which the same client may read anyway.
const (
	cursorVersion = 1
	cursorHead    = 9
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cursorAt makes the cursor that goes on behind key.
func (t *table) cursorAt(c *conditions, key []byte) string {
	p := binary.LittleEndian.AppendUint64([]byte{cursorVersion}, c.fingerprint(t.def.ID))
	p = append(p, key[4:]...)
	p = binary.LittleEndian.AppendUint32(p, crc32.Checksum(p, castagnoli))
	return base64.RawURLEncoding.EncodeToString(p)
}

// parseCursor returns the key that a cursor goes on behind.
func (t *table) parseCursor(c *conditions, text string) ([]byte, *diag.Error) {
	bad := diag.New("table/bad-cursor", "the cursor is not one of this table").WithHint("pass the cursor of the page before unchanged, or none to begin again")
	p, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(p) < cursorHead+8+4 || p[0] != cursorVersion {
		return nil, bad
	}
	body, sum := p[:len(p)-4], binary.LittleEndian.Uint32(p[len(p)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, bad
	}
	if binary.LittleEndian.Uint64(body[1:]) != c.fingerprint(t.def.ID) {
		return nil, diag.New("table/bad-cursor", "the cursor belongs to other conditions or another order").
			WithHint("keep all conditions and the order while paging")
	}
	key := append(binary.BigEndian.AppendUint32(nil, t.def.ID), body[cursorHead:]...)
	at := prefixLen
	for _, kind := range t.keys {
		n := keyColumnLen(key[at:], kind)
		if n < 0 {
			return nil, bad
		}
		at += n
	}
	if at != len(key) {
		return nil, bad
	}
	return key, nil
}
