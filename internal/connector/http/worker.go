package httpio

import (
	"bytes"
	"errors"
	"slices"

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
	endpoint  *endpoint
	inflated  []byte
	probe     []byte

	// of the request
	claim   *claim
	batches []*batch.Batch
	rows    int
	bad     *codec.BadRecord
}

var _ codec.Sink = (*worker)(nil)

// accept inflates and decodes a body, and hands over its rows, or the body, when all of it is good (H1).
func (k *worker) accept(req *arrival) error {
	s := k.endpoint
	k.claim = &req.claim
	defer k.reset()
	if req.kind != compress.None {
		var err error
		if req.body, err = k.inflate(req.body, req.kind, s.maxBody); err != nil {
			return err
		}
	}
	preamble, records := s.split(req.body)
	if err := k.begin(preamble); err != nil {
		return err
	}
	switch err := k.decoder.Decode(records, k); {
	case k.bad != nil:
		return newBadRecord(k.bad, preamble)
	case err != nil:
		return err
	}
	req.rows = k.rows
	if s.intake != nil {
		return k.keep(req, records)
	}
	if err := s.queue.put(k.batches); err != nil {
		return err
	}
	k.batches = k.batches[:0]
	return nil
}

// keep places the body in the journal.
func (k *worker) keep(req *arrival, records []byte) error {
	if req.rows == 0 {
		return nil
	}
	if err := k.claim.more(int64(len(req.body))); err != nil { // the copy on its way to the disk
		return err
	}
	return k.endpoint.intake.place(req, k.inLines(records))
}

// inLines reports whether a body, all of whose records are good, is made of
// lines with a record each, so that it may stand in one block with others of its
// kind. It is when its first line, written twice, is two records: then that is
// how the decoder reads blocks which begin with this line. A JSON array or an
// object over several lines is none.
func (k *worker) inLines(records []byte) bool {
	if k.endpoint.frame.Whole || len(records) > k.endpoint.intake.blockBytes/4 {
		return false
	}
	line := records
	if i := bytes.IndexByte(records, '\n'); i >= 0 {
		line = records[:i]
	}
	k.probe = append(append(append(append(k.probe[:0], line...), '\n'), line...), '\n')
	k.probe = slices.Grow(k.probe, codec.Pad)
	k.rows = 0
	return k.decoder.Decode(k.probe, k) == nil && k.bad == nil && k.rows == 2
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

// Done keeps a batch and claims its memory. Of a body that goes to the journal
// only the number of rows is wanted: the pipeline decodes it again.
func (k *worker) Done(b *batch.Batch) error {
	k.rows += b.Len()
	if b.Len() == 0 || k.endpoint.intake != nil {
		b.Release()
		return nil
	}
	k.batches = append(k.batches, b)
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
