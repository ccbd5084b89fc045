package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

const (
	keysMagic  = "gorgekey"
	keysHeader = 40
	keySize    = len(Key{}) + 16
)

var (
	keysWritten = failpoint.New("journal/keys-written")
	keysSynced  = failpoint.New("journal/keys-synced")
	keysNamed   = failpoint.New("journal/keys-named")
	trimmed     = failpoint.New("journal/segment-removed")
	keysRemoved = failpoint.New("journal/keys-removed")
)

// keyFile keeps the keys of a segment that was deleted.
type keyFile struct {
	id, first, next uint64
}

type keyEntry struct {
	key Key
	seq uint64
	at  int64
}

func sortedKeys[V any](m map[uint64]V) []uint64 { return slices.Sorted(maps.Keys(m)) }

// Trim lets go of the records before a sequence: files that hold no others are
// deleted. The keys of records from keep on stay known to the next Open, those
// before it need not. Behind Close it does nothing: the next start trims.
func (j *Journal) Trim(before, keep uint64) error {
	j.trimming.Lock()
	defer j.trimming.Unlock()
	j.mu.Lock()
	if j.err != nil || j.closing {
		j.mu.Unlock()
		return j.err
	}
	before = min(before, j.synced)
	j.released = max(j.released, before)
	if failpoint.Bug("journal-trim-too-much") {
		before = j.synced
	}
	if before == j.synced { // nothing of the segment in use is needed either
		s := j.segments[len(j.segments)-1]
		j.used -= s.counted
		s.counted = 0
	}
	var gone []segment
	for i, s := range j.segments[:len(j.segments)-1] {
		if j.segments[i+1].first > before {
			break
		}
		gone = append(gone, *s)
	}
	j.mu.Unlock()
	for i := range gone {
		if err := j.trimSegment(&gone[i], keep); err != nil {
			return err
		}
	}
	return j.trimKeys(keep)
}

// trimSegment deletes the oldest segment, whose keys are written down before.
func (j *Journal) trimSegment(s *segment, keep uint64) error {
	if s.keyed > 0 && !failpoint.Bug("journal-keys-forgotten-at-trim") {
		if err := j.keepKeys(s, keep); err != nil {
			j.mu.Lock()
			j.fail(err)
			j.mu.Unlock()
			return err
		}
	}
	if err := j.remove(j.path(fileName(s.first, segmentExt))); err != nil {
		return err
	}
	trimmed.Hit()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.used -= j.segments[0].counted
	j.segments[0] = nil
	j.segments = j.segments[1:]
	j.start = max(j.start, j.segments[0].first)
	return nil
}

// trimKeys deletes the files of keys that need not be known any longer.
func (j *Journal) trimKeys(keep uint64) error {
	for len(j.keys) > 0 && j.keys[0].next <= keep {
		if err := j.remove(j.path(fileName(j.keys[0].first, keysExt))); err != nil {
			return err
		}
		keysRemoved.Hit()
		j.keys = j.keys[1:]
	}
	return nil
}

// keepKeys writes the keys of a segment from a record on into a file of their own.
func (j *Journal) keepKeys(s *segment, keep uint64) error {
	entries, next, err := j.keysOf(s, keep)
	if err != nil || len(entries) == 0 {
		return err
	}
	k := keyFile{id: j.id, first: s.first, next: next}
	path := j.path(fileName(s.first, keysExt))
	f, err := j.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return j.diskError("create", path, err)
	}
	_, err = f.Write(k.encode(entries))
	if err == nil {
		keysWritten.Hit()
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return j.diskError("write", path, err)
	}
	keysSynced.Hit()
	if err := j.syncDir(j.dir); err != nil {
		return err
	}
	keysNamed.Hit()
	j.keys = append(j.keys, k)
	return nil
}

// keysOf reads the keys of a segment from a record on, and where the segment ends.
func (j *Journal) keysOf(s *segment, keep uint64) (entries []keyEntry, next uint64, err error) {
	scan, _, err := j.openScan(s.first)
	if err != nil {
		if scan != nil {
			err = errors.Join(damaged(scan.path, 0, "%w", err), scan.close())
		}
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, scan.close()) }()
	scan.size = s.size
	for {
		f, err := scan.next()
		switch {
		case errors.Is(err, io.EOF):
			return entries, scan.expect, nil
		case errors.Is(err, errTorn):
			return nil, 0, damaged(scan.path, scan.off, "record %d was acknowledged and is not there", scan.expect)
		case err != nil:
			return nil, 0, err
		}
		g := groupFrom(&f, keep)
		for seq, r, ok := g.Next(); ok; seq, r, ok = g.Next() {
			if r.Keyed {
				entries = append(entries, keyEntry{r.Key, seq, f.time})
			}
		}
	}
}

func (k *keyFile) encode(entries []keyEntry) []byte {
	b := make([]byte, keysHeader, keysHeader+len(entries)*keySize+4)
	copy(b, keysMagic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], uint32(len(entries)))
	binary.LittleEndian.PutUint64(b[16:], k.id)
	binary.LittleEndian.PutUint64(b[24:], k.first)
	binary.LittleEndian.PutUint64(b[32:], k.next)
	for i := range entries {
		b = append(b, entries[i].key[:]...)
		b = binary.LittleEndian.AppendUint64(b, entries[i].seq)
		b = binary.LittleEndian.AppendUint64(b, uint64(entries[i].at))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// decodeKeys reads a whole file of keys.
func decodeKeys(b []byte) (k keyFile, entries []keyEntry, err error) {
	n := len(b) - keysHeader - 4
	if n < 0 || string(b[:8]) != keysMagic || n%keySize != 0 || int64(n/keySize) != int64(binary.LittleEndian.Uint32(b[12:])) ||
		binary.LittleEndian.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli) {
		return k, nil, errHeader
	}
	if binary.LittleEndian.Uint32(b[8:]) != version {
		return k, nil, errVersion
	}
	k = keyFile{id: binary.LittleEndian.Uint64(b[16:]), first: binary.LittleEndian.Uint64(b[24:]), next: binary.LittleEndian.Uint64(b[32:])}
	entries = make([]keyEntry, n/keySize)
	for i := range entries {
		e := b[keysHeader+i*keySize:]
		entries[i] = keyEntry{Key(e[:len(Key{})]), binary.LittleEndian.Uint64(e[len(Key{}):]), int64(binary.LittleEndian.Uint64(e[len(Key{})+8:]))}
	}
	return k, entries, nil
}

// loadKeys reads the file of the keys of a deleted segment.
func (j *Journal) loadKeys(first uint64) (k keyFile, entries []keyEntry, err error) {
	path := j.path(fileName(first, keysExt))
	f, err := j.fs.Open(path)
	if err != nil {
		return k, nil, j.diskError("open", path, err)
	}
	b, err := io.ReadAll(f)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return k, nil, j.diskError("read", path, err)
	}
	if k, entries, err = decodeKeys(b); err == nil && k.first != first {
		err = errHeader
	}
	if err != nil {
		return k, nil, damaged(path, 0, "%w", err)
	}
	return k, entries, nil
}
