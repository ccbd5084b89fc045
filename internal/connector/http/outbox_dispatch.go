package httpio

import (
	"context"
	"path/filepath"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// Bounds of what the dispatcher keeps in memory.
const (
	// maxAhead is how many requests may be sent beyond the first that is not answered.
	// It is also the most that is sent again after a crash, besides what was answered since the last checkpoint.
	maxAhead = 1024
	// maxHeld is the bytes of refused rows at which nothing more is sent until they are taken.
	maxHeld = 4 << 20
	// maxParcels is how many files may be owed: each is named in every checkpoint.
	maxParcels = 1024
	// refusalBytes is what a refused row takes besides itself and the answer.
	refusalBytes = 128
)

var requestAnswered = failpoint.New("http/outbox-request-answered")

// consignment is what was decided and is to be sent. outbox.mu guards it.
type consignment struct {
	parcels []*sending
	unsent  int         // index of the first parcel that the dispatcher has not begun
	flight  []*shipment // requests in their order, from the first that is not answered on
	owed    int64       // bytes of parcels that are not answered
	waiting int         // parcels that are not answered to the end
	letters []refusal   // that nobody has taken yet; cursors have passed their requests
	held    int64       // bytes of letters, and of refused rows in flight
	flying  int         // requests that are being sent
}

// sending is a parcel that is being sent. Next is its cursor.
type sending struct {
	parcel
	left int64 // bytes that are not answered
	// clean is up to where the cursor may count without a checkpoint: no letter lies
	// between it and the cursor of the last one.
	clean int64
}

// shipment is a request under way.
type shipment struct {
	of       *sending
	bytes    int64
	answered bool
	refused  []refusal
}

// take adds parcels.
func (s *outbox) take(parcels []parcel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parcels {
		s.parcels = append(s.parcels, &sending{parcel: p, left: p.Bytes, clean: p.Next})
		s.owed += p.Bytes
		s.waiting++
	}
	s.wake()
}

// release lets go of parcels that were answered and that nobody names, and returns their files. The caller holds mu.
func (s *outbox) release(d *decided) (files []string) {
	kept := s.parcels[:0]
	for i, p := range s.parcels {
		if p.Next == p.Requests && (!d.names(p.File) || failpoint.Bug("http-named-file-deleted")) {
			files = append(files, p.File)
			s.unsent--
			continue
		}
		kept = append(kept, s.parcels[i])
	}
	clear(s.parcels[len(kept):])
	s.parcels = kept
	return files
}

// clear takes over the cursors of a decided checkpoint, which holds the letters before
// them. The caller holds mu.
func (s *outbox) clear(d *decided) {
	at := map[string]int64{}
	for _, p := range d.owed {
		at[p.File] = p.Next
	}
	for _, p := range s.parcels {
		p.clean = max(p.clean, at[p.File])
	}
}

// cursors returns the parcels that are owed. The caller holds mu.
func (s *outbox) cursors() []parcel {
	var out []parcel
	for _, p := range s.parcels {
		if p.Next < p.Requests {
			out = append(out, p.parcel)
		}
	}
	return out
}

// idle reports whether everything was answered. The caller holds mu.
func (s *outbox) idle() bool { return s.waiting == 0 }

// dispatch sends one parcel after the other.
func (s *outbox) dispatch(ctx context.Context) {
	for {
		var p *sending
		err := s.await(ctx, nil, func() bool {
			if s.unsent == len(s.parcels) || s.halted {
				return false
			}
			p = s.parcels[s.unsent]
			s.unsent++
			return true
		})
		if err != nil {
			return // somebody has reported it, or it is the end
		}
		if err := s.send(ctx, p); err != nil && ctx.Err() == nil {
			_ = s.fail(err) // whoever comes next reports it
			return
		}
	}
}

// send sends what a parcel has behind its cursor.
func (s *outbox) send(ctx context.Context, p *sending) error {
	f, r, err := s.openParcel(&p.parcel)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // nothing was written
	from := p.Next                   // nothing of it is under way
	for r.requests < p.Requests {
		var b *boxed
		select {
		case b = <-s.slots:
		case <-ctx.Done():
			return ctx.Err()
		}
		err := r.next(b)
		switch {
		case err != nil:
			s.slots <- b
			return s.unreadable(s.fs.PathJoin(s.root, filepath.FromSlash(p.File)), err)
		case r.requests <= from:
			s.pass(p, b.size)
			s.slots <- b
			continue
		}
		if err := s.ship(ctx, p, b); err != nil {
			s.slots <- b
			return err
		}
	}
	return nil
}

// pass counts a request that was answered before this start.
func (s *outbox) pass(p *sending, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.left -= bytes
	s.owed -= bytes
}

// ship sends a request when there is room.
func (s *outbox) ship(ctx context.Context, p *sending, b *boxed) error {
	sh := &shipment{of: p, bytes: b.size}
	err := s.await(ctx, nil, func() bool {
		if s.halted || len(s.flight) >= maxAhead || s.held >= maxHeld {
			return false
		}
		s.flight = append(s.flight, sh)
		s.flying++
		if failpoint.Bug("http-cursor-ahead-of-answer") && p.Next < p.Requests-1 {
			p.Next++
		}
		return true
	})
	if err != nil {
		return err
	}
	s.work.Go(func() {
		v := s.deliver(ctx, &b.request)
		requestAnswered.Hit()
		s.answered(sh, b, v)
		b.body = b.body[:0]
		if cap(b.body) > keptText {
			b.body = nil
		}
		s.slots <- b
	})
	return nil
}

// answered notes what became of a request and moves the cursors behind all that is answered in a row.
func (s *outbox) answered(sh *shipment, b *boxed, v verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake()
	s.flying--
	if v.cancelled {
		return // it stays owed
	}
	if v.err != nil {
		if s.err == nil {
			s.err = v.err
		}
		return
	}
	sh.answered = true
	if !v.taken {
		for _, row := range b.rowsOf() {
			sh.refused = append(sh.refused, refusal{v.code, v.reason, v.detail, row})
			s.held += int64(len(row)+len(v.detail)) + refusalBytes
		}
		if failpoint.Bug("http-letters-ahead-of-cursor") {
			s.letters, sh.refused = append(s.letters, sh.refused...), nil
		}
	}
	n := 0
	for ; n < len(s.flight) && s.flight[n].answered; n++ {
		s.advance(s.flight[n])
		s.flight[n] = nil
	}
	s.flight = s.flight[n:]
}

// advance moves the cursor of a parcel behind a request. The caller holds mu.
func (s *outbox) advance(sh *shipment) {
	p := sh.of
	s.letters = append(s.letters, sh.refused...)
	if p.clean == p.Next && len(sh.refused) == 0 || failpoint.Bug("http-letters-forgotten-at-close") {
		p.clean++
	}
	if !failpoint.Bug("http-cursor-ahead-of-answer") || p.Next == p.Requests-1 {
		p.Next++
	}
	p.left -= sh.bytes
	s.owed -= sh.bytes
	if p.Next == p.Requests {
		s.owed -= p.left // header and end
		p.left = 0
		s.waiting--
	}
}
