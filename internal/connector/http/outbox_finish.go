package httpio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// The steps behind the final epoch.
var (
	refusedKept    = failpoint.New("http/refused-rows-synced")
	outboxFinished = failpoint.New("http/outbox-finished")
	refusedNamed   = failpoint.New("http/refused-rows-named")
)

// refusedRow is a row that was refused when no dead letter could be written any
// more. It has the columns of a dead letter.
type refusedRow struct {
	Step     string  `json:"step"`
	Code     string  `json:"code"`
	Reason   string  `json:"reason"`
	Column   *string `json:"column"`
	Position *string `json:"position"`
	Detail   *string `json:"detail"`
	Payload  []byte  `json:"payload"` // base64
}

// refusedFile takes the rows that are refused behind the final epoch. It counts from
// when the ledger names it: until then it is nothing, and the rows are owed.
type refusedFile struct {
	s    *outbox
	name string
	f    vfs.File // nil before the first row
	rows int
}

// add appends rows.
func (r *refusedFile) add(rows []refusal) error {
	if r.f == nil {
		r.name = fmt.Sprintf("refused-%x.ndjson", newID())
		f, err := r.s.create(r.name + unfinishedExt)
		if err != nil {
			return err
		}
		r.f = f
	}
	var b []byte
	for _, x := range rows {
		row := refusedRow{Step: r.s.name(), Code: x.code, Reason: x.reason, Payload: x.row}
		if x.detail != "" {
			row.Detail = &x.detail
		}
		line, err := json.Marshal(row)
		if err != nil {
			return err
		}
		b = append(append(b, line...), '\n')
	}
	r.rows += len(rows)
	if _, err := r.f.Write(b); err != nil {
		return r.s.shelf.failed("write", r.s.path(r.name+unfinishedExt), err)
	}
	return nil
}

// keep makes the rows and the name that they have now durable.
func (r *refusedFile) keep() error {
	if r.f == nil {
		return nil
	}
	err := r.f.Sync()
	if closed := r.f.Close(); err == nil {
		err = closed
	}
	r.f = nil
	if err != nil {
		return r.s.shelf.failed("sync", r.s.path(r.name+unfinishedExt), err)
	}
	refusedKept.Hit()
	return r.s.sync(r.s.dir())
}

// putRefused gives the file that the ledger names its name, if it has not got it.
func (s *outbox) putRefused(name string) error {
	if name == "" {
		return nil
	}
	from := s.path(name + unfinishedExt)
	if _, err := s.fs.Stat(from); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return s.shelf.failed("find", from, err)
	}
	if err := s.fs.Rename(from, s.path(name)); err != nil {
		return s.shelf.failed("rename", from, err)
	}
	return s.sync(s.dir())
}

// finishStep is how long answers wait to be noted behind the final epoch.
const finishStep = time.Second

// finish waits until everything was answered. No epoch follows that could remember it:
// the ledger does, step by step. Rows that are refused now can become no dead letters;
// they go to files of their own, and the log says so.
func (s *outbox) finish(ctx context.Context, epoch uint64) error {
	rows := 0
	defer func() {
		if rows > 0 {
			s.log.Error("the receiver refused rows when the input had ended and dead letters were no longer taken; they are in files",
				"receiver", s.shown, "rows", rows, "files", s.path("refused-*.ndjson"))
		}
	}()
	for done := false; !done; {
		r := &refusedFile{s: s}
		var at []parcel
		begin := time.Now()
		err := s.await(ctx, r.add, func() bool {
			at, done = s.cursors(), s.settled()
			return done || time.Since(begin) >= finishStep
		})
		if err == nil {
			err = s.step(r, ledger{Epoch: epoch, Parcels: at})
		}
		if err != nil {
			if r.f != nil {
				_ = r.f.Close() // it counts for nothing
			}
			if ctx.Err() != nil {
				return err
			}
			return s.fail(err)
		}
		rows += r.rows
	}
	s.ended = epoch
	outboxFinished.Hit()
	s.mu.Lock()
	gone := s.release(&decided{})
	s.mu.Unlock()
	return s.fail(s.discard(gone))
}

// step notes the cursors together with the rows that were refused before them.
func (s *outbox) step(r *refusedFile, l ledger) error {
	if err := r.keep(); err != nil {
		return err
	}
	l.Refused = r.name
	if err := s.writeLedger(l); err != nil {
		return err
	}
	s.ledgered = true
	if err := s.putRefused(r.name); err != nil {
		return err
	}
	refusedNamed.Hit()
	s.mu.Lock()
	defer s.mu.Unlock()
	noted := map[string]int64{}
	for _, p := range l.Parcels {
		noted[p.File] = p.Next
	}
	for _, p := range s.parcels {
		if next, owed := noted[p.File]; owed {
			p.clean = max(p.clean, next)
		} else {
			p.clean = p.Requests
		}
	}
	return nil
}

// settled reports whether everything was answered and every refused row was taken.
// The caller holds mu.
func (s *outbox) settled() bool { return s.idle() && len(s.letters) == 0 }
