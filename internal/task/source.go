package task

import (
	"context"
	"fmt"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/deadletter"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/operator"
)

// BadPolicy is what happens to a record that cannot be decoded.
type BadPolicy uint8

// The policies.
const (
	BadDead BadPolicy = iota
	BadFail
	BadSkip
)

// Source is one of the tasks that read a source: it leases blocks from the
// feed, decodes them and pushes the rows through its chain.
type Source struct {
	Name    string // of the task
	Index   int    // among the tasks of the source
	Step    string // of the source, for dead letters
	Feed    *Feed
	Decoder codec.Decoder // nil when the source makes rows
	Pool    *batch.Pool
	OnBad   BadPolicy
	// DeadTo takes dead letters, Chain the rows.
	DeadTo []Consumer
	Chain  *Chain
	Stats  *Stats
	Rows   *SourceStats

	block    connector.Block
	preamble []byte
	batches  []*batch.Batch
	dead     []*batch.Batch
	largest  batch.Time
}

// SourceStats counts what one source task has read.
type SourceStats struct {
	Rows, Bytes, Bad, Blocks operator.Counter
}

// Run reads until the last barrier, or an error.
func (s *Source) Run(ctx context.Context) (err error) {
	s.Stats.start()
	defer s.Stats.end()
	final := false
	defer func() {
		s.releaseRows()
		err = closeChain(s.Name, s.Chain, final, err)
	}()
	for {
		l, err := s.Feed.Next(ctx, s.Index, &s.block)
		if err != nil {
			return err
		}
		s.Stats.idle.Add(int64(l.Waited))
		if l.Kind != LeaseBarrier {
			if err := s.process(l); err != nil {
				return err
			}
			continue
		}
		if err := s.barrier(l); err != nil {
			return err
		}
		if l.Barrier.Last {
			final = l.Barrier.Final
			return nil
		}
	}
}

// barrier passes a barrier; the one task that has its number folds it and sends it on.
func (s *Source) barrier(l Lease) error {
	if l.Numbered {
		if _, _, err := s.Feed.Fold(l, batch.MinTime); err != nil {
			return err
		}
		s.Chain.Begin(l.Seq)
	}
	return s.Chain.Barrier(l.Barrier, l.Numbered, 0)
}

// process takes one lease from the bytes to the mark.
func (s *Source) process(l Lease) error {
	s.largest = batch.MinTime
	if l.Kind == LeaseBlock {
		s.Rows.Blocks.Add(1)
		if err := s.decode(); err != nil {
			return s.Feed.Refuse(l, err)
		}
	}
	before, after, err := s.Feed.Fold(l, s.largest)
	if err != nil {
		return err
	}
	s.Chain.Begin(l.Seq)
	if err := s.push(before); err != nil {
		return err
	}
	if err := s.Chain.End(after, l.Dry); err != nil {
		return err
	}
	s.Stats.watermark.Store(after)
	if b := s.Chain.Blocked(); b > 0 {
		s.Stats.blocked.Add(int64(b))
	}
	return nil
}

func (s *Source) decode() error {
	if r := s.block.Rows; r != nil {
		s.block.Rows = nil
		return s.Done(r)
	}
	s.Rows.Bytes.Add(int64(len(s.block.Data)))
	if p, ok := s.Decoder.(codec.PreambleDecoder); ok && (s.preamble == nil || string(s.preamble) != string(s.block.Preamble)) {
		if err := p.Begin(s.block.Preamble); err != nil {
			return err
		}
		s.preamble = append(s.preamble[:0], s.block.Preamble...)
		if s.preamble == nil {
			s.preamble = []byte{}
		}
	}
	return s.Decoder.Decode(s.block.Data, s)
}

// push sends the rows and dead letters of the block into the chain.
func (s *Source) push(before batch.Time) error {
	for i, d := range s.dead {
		s.dead[i] = nil
		if err := s.Chain.deliver(s.DeadTo, d); err != nil {
			return err
		}
	}
	s.dead = s.dead[:0]
	for i, b := range s.batches {
		s.batches[i] = nil
		b.Before = before
		if err := s.Chain.Push(b); err != nil {
			return err
		}
	}
	s.batches = s.batches[:0]
	return nil
}

// Next gives the decoder an empty batch.
func (s *Source) Next() *batch.Batch { return s.Pool.Get() }

// Done takes a decoded batch.
func (s *Source) Done(b *batch.Batch) error {
	n := b.Len()
	if n == 0 {
		b.Release()
		return nil
	}
	s.Rows.Rows.Add(int64(n))
	largest := s.largest
	for _, t := range b.Times() {
		largest = max(largest, t)
	}
	s.largest = largest
	s.batches = append(s.batches, b)
	return nil
}

// Bad takes a refused record.
func (s *Source) Bad(r *codec.BadRecord) error {
	s.Rows.Bad.Add(1)
	switch s.OnBad {
	case BadFail:
		return s.refuse(r)
	case BadSkip:
		return nil
	}
	if n := len(s.dead); n == 0 || s.dead[n-1].Len() == s.dead[n-1].Cap() {
		s.dead = append(s.dead, deadletter.Pool.Get())
	}
	deadletter.Append(s.dead[len(s.dead)-1], &deadletter.Letter{
		Step: s.Step, Code: r.Code, Reason: r.Reason, Column: r.Column, Position: s.position(r), Payload: r.Bytes,
	})
	return nil
}

func (s *Source) position(r *codec.BadRecord) string {
	if s.block.Line > 0 && r.Line > 0 {
		return fmt.Sprintf("%s line %d", s.block.Place, s.block.Line+r.Line-1)
	}
	if s.block.Offset >= 0 {
		return fmt.Sprintf("%s byte %d", s.block.Place, s.block.Offset+r.Offset)
	}
	return fmt.Sprintf("%s + %d bytes", s.block.Place, r.Offset)
}

func (s *Source) refuse(r *codec.BadRecord) error {
	const show = 200
	rec := r.Bytes
	if len(rec) > show {
		rec = rec[:show]
	}
	return diag.New("run/bad-record", "source %s: record at %s cannot be decoded: %s", s.Step, s.position(r), r.Reason).
		WithCause(fmt.Errorf("the record begins with %q", rec)).
		WithHint("set on_bad_record: dead_letter to keep going and collect such records, or skip to count and drop them")
}

func (s *Source) releaseRows() {
	for _, b := range append(s.batches, s.dead...) {
		if b != nil {
			b.Release()
		}
	}
	s.batches, s.dead = nil, nil
	if s.block.Rows != nil {
		s.block.Rows.Release()
		s.block.Rows = nil
	}
}
