package journal

import (
	"time"

	"github.com/gorge-stream/gorge/internal/failpoint"
)

// write is the writer: it brings group after group to the disk.
func (j *Journal) write() {
	defer close(j.stopped)
	j.timer = time.NewTimer(time.Hour)
	defer j.timer.Stop()
	for {
		g := j.take()
		if g == nil {
			break
		}
		err := j.commit(g)
		idle := j.settle(g, err)
		groupSettled.Hit()
		if err == nil && idle {
			err = j.seal()
		}
		if err != nil {
			j.abort(err)
			break
		}
	}
	j.finish()
}

// take waits for a group that is to be written; nil when the journal is being closed.
//
// Groups are larger, and the disk and the scheduler have less to do, when the
// writer waits for company. It waits for about as many records as the last group
// and the time of its sync have brought: who sent those will send again. When
// they do not come within the linger, fewer are expected the next time.
func (j *Journal) take() *group {
	var due <-chan time.Time
	ready := false
	for {
		j.mu.Lock()
		if len(j.pending) > 0 && (ready || j.ripe()) {
			g := j.pending[0]
			j.pending[0] = nil
			j.pending = j.pending[1:]
			j.busy = g
			g.frame.released = j.released
			j.mu.Unlock()
			return g
		}
		if len(j.pending) == 0 && j.closing {
			j.mu.Unlock()
			return nil
		}
		if len(j.pending) > 0 && due == nil {
			j.timer.Reset(defaultLinger)
			due = j.timer.C
		}
		j.mu.Unlock()
		select {
		case <-j.wake:
		case <-due:
			ready = true
		}
	}
}

// ripe reports whether the first group need not wait for company. mu is held.
func (j *Journal) ripe() bool {
	return j.closing || len(j.pending) > 1 || j.target < lingerFrom || int(j.pending[0].frame.count) >= j.target-j.target/8
}

// commit makes a group durable: one write, one sync.
func (j *Journal) commit(g *group) error {
	if j.off >= j.opts.Segment {
		if err := j.roll(g.frame.first); err != nil {
			return err
		}
	}
	path := j.path(fileName(j.active.first, segmentExt))
	g.frame.time = j.opts.Now().UnixMicro()
	sealFrame(g.buf, &g.frame, j.active.salt)
	if _, err := j.file.WriteAt(g.buf, j.off); err != nil {
		return j.diskError("write", path, err)
	}
	groupWritten.Hit()
	if !failpoint.Bug("journal-acknowledge-before-sync") {
		if err := j.file.SyncData(); err != nil {
			return j.diskError("sync", path, err)
		}
	}
	groupSynced.Hit()
	j.off += int64(len(g.buf))
	j.unsynced = false
	return nil
}

// settle tells everybody what became of a group, and keeps it for readers. It
// reports whether no other group waits.
func (j *Journal) settle(g *group, err error) (idle bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.busy = nil
	g.wait.err = err
	defer close(g.wait.done)
	if err != nil {
		j.fail(err)
		return false
	}
	seen := int(g.frame.count)
	for _, p := range j.pending {
		seen += int(p.frame.count)
	}
	j.target = seen
	j.synced = g.frame.end()
	s := j.active
	s.mark(g.frame.first, j.off-int64(len(g.buf)))
	grown := j.off - s.size // with a seal before the group
	s.size, s.counted, s.keyed = j.off, s.counted+grown, s.keyed+g.keyed
	j.used += grown - (int64(len(g.buf)) - frameHeader)
	g.frame.records = g.buf[frameHeader:]
	g.refs = 1
	j.memory = append(j.memory, g)
	j.held += int64(len(g.buf))
	j.forget()
	j.tell()
	return len(j.pending) == 0
}

// seal writes down that all before is durable, when nothing else is to be
// written: a damaged last group then cannot be taken for one that was never
// acknowledged. It is not synced: when it is lost nothing is.
func (j *Journal) seal() error {
	j.mu.Lock()
	f := frame{first: j.synced, released: j.released, time: j.opts.Now().UnixMicro()}
	j.mu.Unlock()
	var b [frameHeader]byte
	sealFrame(b[:], &f, j.active.salt)
	if _, err := j.file.WriteAt(b[:], j.off); err != nil {
		return j.diskError("write", j.path(fileName(j.active.first, segmentExt)), err)
	}
	j.off += frameHeader
	j.unsynced = true
	sealed.Hit()
	return nil
}

// roll begins a new segment. The old one is left with all of it durable.
func (j *Journal) roll(first uint64) error {
	if j.unsynced {
		if err := j.file.SyncData(); err != nil {
			return j.diskError("sync", j.path(fileName(j.active.first, segmentExt)), err)
		}
		j.unsynced = false
	}
	j.mu.Lock()
	released := j.released
	j.mu.Unlock()
	f, s, err := j.createSegment(first, released)
	if err != nil {
		return err
	}
	rolled.Hit()
	if err := j.file.Close(); err != nil {
		_ = f.Close() // the first error counts
		return j.diskError("close", j.path(fileName(j.active.first, segmentExt)), err)
	}
	j.file, j.off = f, segmentHeader
	j.mu.Lock()
	defer j.mu.Unlock()
	j.active = s
	j.segments = append(j.segments, s)
	j.used += s.counted
	return nil
}

// abort tells everybody who still waits that the journal has failed.
func (j *Journal) abort(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail(err)
	for _, g := range j.pending {
		g.wait.err = err
		close(g.wait.done)
	}
	j.pending = nil
}

// finish ends the file. What was acknowledged is durable already.
func (j *Journal) finish() {
	if j.unsynced && j.Err() == nil {
		if err := j.file.SyncData(); err != nil {
			j.abort(j.diskError("sync", j.path(fileName(j.active.first, segmentExt)), err))
		}
	}
	if err := j.file.Close(); err != nil {
		j.abort(j.diskError("close", j.path(fileName(j.active.first, segmentExt)), err))
	}
}
