package httpio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

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

// finish waits until everything was answered. No epoch follows that could remember it:
// the ledger does. Rows that are refused now can become no dead letters; they go to a file of
// their own, and the log says so.
func (s *outbox) finish(ctx context.Context, epoch uint64) error {
	r := &refusedFile{s: s}
	err := s.await(ctx, r.add, s.settled)
	if err == nil {
		err = r.keep()
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
	if err := s.writeLedger(ledger{Epoch: epoch, Refused: r.name}); err != nil {
		return s.fail(err)
	}
	outboxFinished.Hit()
	s.ledgered, s.ended = true, epoch
	if err := s.putRefused(r.name); err != nil {
		return s.fail(err)
	}
	refusedNamed.Hit()
	if r.rows > 0 {
		s.log.Error("the receiver refused rows when the input had ended and dead letters were no longer taken; they are in a file",
			"receiver", s.shown, "rows", r.rows, "file", s.path(r.name))
	}
	s.mu.Lock()
	gone := s.release(&decided{})
	s.mu.Unlock()
	return s.fail(s.discard(gone))
}

// settled reports whether everything was answered and every refused row was taken.
// The caller holds mu.
func (s *outbox) settled() bool { return s.idle() && len(s.letters) == 0 }
