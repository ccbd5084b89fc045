package httpio

import (
	"bytes"
	"errors"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/compress"
)

// keptBuffer is the largest buffer for inflated bytes that survives a request.
const keptBuffer = 1 << 20

// errBad stops a decoder behind the first bad record.
var errBad = errors.New("a bad record")

// worker decodes one request at a time; the request that holds it owns it.
type worker struct {
	decoder   codec.Decoder
	preambles codec.PreambleDecoder // decoder, when its format has a preamble
	begun     []byte                // preamble that the decoder was begun with
	started   bool
	pool      *batch.Pool
	queue     *queue
	inflated  []byte

	// of the request
	claim   *claim
	batches []*batch.Batch
	rows    int
	bad     *codec.BadRecord
}

var _ codec.Sink = (*worker)(nil)

// accept inflates and decodes a body, and queues its rows when all of it is good (H1).
func (k *worker) accept(body []byte, kind compress.Kind, s *source, c *claim) (int, error) {
	k.claim = c
	defer k.reset()
	if kind != compress.None {
		var err error
		if body, err = k.inflate(body, kind, s.maxBody); err != nil {
			return 0, err
		}
	}
	var preamble []byte
	if s.frame.Preamble != nil {
		n := s.frame.Preamble(body)
		if n < 0 {
			n = len(body)
		}
		preamble, body = body[:n:n], body[n:]
	}
	if err := k.begin(preamble); err != nil {
		return 0, err
	}
	switch err := k.decoder.Decode(body, k); {
	case k.bad != nil:
		return 0, newBadRecord(k.bad, preamble)
	case err != nil:
		return 0, err
	}
	if err := k.queue.put(k.batches); err != nil {
		return 0, err
	}
	k.batches = k.batches[:0]
	return k.rows, nil
}

// inflate decompresses a body into the worker's buffer.
func (k *worker) inflate(body []byte, kind compress.Kind, limit int64) ([]byte, error) {
	r, err := compress.NewReader(bytes.NewReader(body), kind, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }()
	if k.inflated == nil {
		k.inflated = make([]byte, 0, firstBuffer)
	}
	if k.inflated, err = fill(k.inflated[:0], r, limit, k.claim); err != nil {
		return nil, err
	}
	return k.inflated, nil
}

// begin tells the decoder about the preamble when it is another one than before.
func (k *worker) begin(preamble []byte) error {
	if k.preambles == nil || k.started && bytes.Equal(k.begun, preamble) {
		return nil
	}
	k.started = false
	if err := k.preambles.Begin(preamble); err != nil {
		return err
	}
	k.begun, k.started = append(k.begun[:0], preamble...), true
	return nil
}

// Next gives the decoder an empty batch.
func (k *worker) Next() *batch.Batch { return k.pool.Get() }

// Done keeps a batch and claims its memory.
func (k *worker) Done(b *batch.Batch) error {
	if b.Len() == 0 {
		b.Release()
		return nil
	}
	k.batches = append(k.batches, b)
	k.rows += b.Len()
	return k.claim.more(int64(b.Bytes()))
}

// Bad keeps the first bad record; the rest of the request does not matter any more.
func (k *worker) Bad(r *codec.BadRecord) error {
	b := *r
	b.Bytes = bytes.Clone(r.Bytes[:min(len(r.Bytes), 256)])
	k.bad = &b
	return errBad
}

// reset forgets the request; batches that were not queued are released.
func (k *worker) reset() {
	for i, b := range k.batches {
		b.Release()
		k.batches[i] = nil
	}
	k.batches, k.rows, k.bad, k.claim = k.batches[:0], 0, nil, nil
	if cap(k.inflated) > keptBuffer {
		k.inflated = nil
	}
}
