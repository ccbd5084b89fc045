package httpio

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
	"github.com/gorge-stream/gorge/internal/journal"
)

// The headers by which a sender marks a request, so that a repetition is recognised.
const (
	keyHeader      = "Idempotency-Key"
	producerHeader = "Gorge-Producer-Id"
	sequenceHeader = "Gorge-Sequence"
	// maxKey bounds what a sender may give as a key or an id.
	maxKey = 255
)

// errReused tells that the key of a request was used with another body before.
var errReused = errors.New("the key was used for another request") // 422

// requestKey names a request: a digest of what its sender calls it. Two names
// with one digest would lose a request, so it is a cryptographic one.
type requestKey [16]byte

// headerKey reads the headers; nil when the sender gave no key.
func headerKey(h http.Header) (*requestKey, error) {
	key, producer, sequence := h.Get(keyHeader), h.Get(producerHeader), h.Get(sequenceHeader)
	switch {
	case key == "" && producer == "" && sequence == "":
		return nil, nil
	case len(key) > maxKey || len(producer) > maxKey:
		return nil, badKey("%s and %s may have %d bytes", keyHeader, producerHeader, maxKey)
	case key != "" && (producer != "" || sequence != ""):
		return nil, badKey("a request has %s, or %s and %s, not both", keyHeader, producerHeader, sequenceHeader)
	case key != "":
		return digest("key", key), nil
	case producer == "" || sequence == "":
		return nil, badKey("%s and %s belong together", producerHeader, sequenceHeader)
	}
	n, err := strconv.ParseUint(sequence, 10, 64)
	if err != nil {
		return nil, badKey("%s is %q, but must be a whole number", sequenceHeader, clip(sequence))
	}
	return digest(strconv.FormatUint(n, 10), producer), nil
}

func badKey(format string, args ...any) *diag.Error {
	return diag.New("ingest/key", format, args...).WithHint("send %s with a text that differs by request, or %s with the number of the request in %s", keyHeader, producerHeader, sequenceHeader)
}

// digest makes the key of two texts; the first holds no zero byte.
func digest(kind, name string) *requestKey {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	k := requestKey(sum[:16])
	return &k
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// journalKey is the key as the journal keeps it, with what tells bodies apart.
func journalKey(k *requestKey, body []byte) (out journal.Key) {
	copy(out[:], k[:])
	binary.LittleEndian.PutUint32(out[16:], crc32.Checksum(body, castagnoli))
	binary.LittleEndian.PutUint32(out[20:], uint32(len(body)))
	return out
}

// keyTable knows the keys of the requests within the horizon: the last limit
// ones that are not older than age. Any goroutine may use it. Entries are in the
// order of the journal.
type keyTable struct {
	limit int
	age   int64 // in microseconds

	mu      sync.Mutex // guards all below
	entries []keyEntry // those before gone are no longer known
	gone    int
	base    uint64                // number of entries[0]; numbers ascend by one
	index   map[requestKey]uint64 // number of the newest entry of each key
}

type keyEntry struct {
	key journal.Key
	seq uint64
	at  int64 // microseconds since 1970
}

func newKeyTable(limit int, age time.Duration) *keyTable {
	return &keyTable{limit: limit, age: age.Microseconds(), index: map[requestKey]uint64{}}
}

// take returns the sequence of the request that came under the key before, and
// true; or calls place for the sequence of a new one. Whoever gets a sequence has
// to wait until it is durable: the first request may still be on its way.
func (t *keyTable) take(k journal.Key, now time.Time, place func() (uint64, error)) (seq uint64, repeated bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := now.UnixMicro()
	t.expire(at)
	if n, ok := t.index[requestKey(k[:16])]; ok {
		e := &t.entries[n-t.base]
		if e.key != k {
			return 0, false, errReused
		}
		return e.seq, true, nil
	}
	if seq, err = place(); err != nil {
		return 0, false, err
	}
	t.add(keyEntry{k, seq, at})
	return seq, false, nil
}

// add appends an entry. mu is held.
func (t *keyTable) add(e keyEntry) {
	if n := len(t.entries); n > 0 { // a clock that was set back must not keep entries alive
		e.at = max(e.at, t.entries[n-1].at)
	}
	t.index[requestKey(e.key[:16])] = t.base + uint64(len(t.entries))
	t.entries = append(t.entries, e)
	t.expire(e.at)
}

// expire forgets what is beyond the horizon. mu is held.
func (t *keyTable) expire(now int64) {
	for t.gone < len(t.entries) && (len(t.entries)-t.gone > t.limit || t.entries[t.gone].at < now-t.age) {
		k := requestKey(t.entries[t.gone].key[:16])
		if t.index[k] == t.base+uint64(t.gone) {
			delete(t.index, k)
		}
		t.gone++
	}
	if t.gone > 1024 && t.gone > len(t.entries)/2 {
		n := copy(t.entries, t.entries[t.gone:])
		t.entries = t.entries[:n]
		t.base += uint64(t.gone)
		t.gone = 0
	}
}

// restore takes the keys that the journal still knows, before any request comes.
// After deletions that came back they are not quite in order.
func (t *keyTable) restore(found []keyEntry, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortFunc(found, func(a, b keyEntry) int { return int(int64(a.seq - b.seq)) })
	for _, e := range found[max(0, len(found)-t.limit):] {
		t.add(e)
	}
	t.expire(now.UnixMicro())
}

// oldest returns the sequence of the oldest request whose key is known.
func (t *keyTable) oldest(now time.Time) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(now.UnixMicro())
	if t.gone == len(t.entries) || failpoint.Bug("http-keys-let-go-with-requests") {
		return math.MaxUint64
	}
	return t.entries[t.gone].seq
}
