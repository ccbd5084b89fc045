package table

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ingestDir holds files on their way into the store, in a directory per table.
const ingestDir = "ingest"

// applyFiles merges the runs into table files and hands all of them to the store at
// once: memory stays small whatever the epoch holds. The number of the epoch is in a
// file of its own, so that it comes with the rows or not at all. What goes behind
// it, old buckets and staged rows, may be lost in a crash: it is removed later.
func (s *epochSink) applyFiles(marks []*mark, runs []*run, cut, epoch uint64, o *pebble.WriteOptions) error {
	files := s.table.store.disk
	if err := files.MkdirAll(s.filesDir(), 0o700); err != nil {
		return s.writeError(err)
	}
	out := &tableFiles{sink: s, epoch: epoch}
	err := s.writeFiles(out, marks, runs, cut)
	if err = errors.Join(err, out.cut()); err != nil {
		return err
	}
	pointFiled.Hit()
	if err := s.table.store.db.Ingest(context.Background(), out.paths); err != nil {
		return s.writeError(err)
	}
	pointIngested.Hit()
	b := s.table.store.db.NewBatch()
	defer b.Close()
	if err := errors.Join(s.dropInto(b, cut), s.forget(b, marks)); err != nil {
		return err
	}
	if err := b.Commit(o); err != nil {
		return s.writeError(err)
	}
	return nil
}

// writeFiles makes the files of the rows and that of the epoch.
func (s *epochSink) writeFiles(out *tableFiles, marks []*mark, runs []*run, cut uint64) error {
	err := each(runs, func(key, value []byte) error {
		if bucketIn(key) < cut {
			return nil
		}
		return out.set(key, value)
	})
	if err != nil {
		return err
	}
	if err := s.whole(marks, runs); err != nil {
		return err
	}
	if err := out.cut(); err != nil {
		return err
	}
	return out.set(epochKey(tagApplied, s.table.def.ID), appliedValue(out.epoch))
}

// filesDir is where the files of the table are made.
func (s *epochSink) filesDir() string {
	st := s.table.store
	return st.disk.PathJoin(st.dir, ingestDir, fmt.Sprint(s.table.def.ID))
}

// removeFiles removes what an application that was cut short left.
func (s *epochSink) removeFiles() error {
	if err := s.table.store.disk.RemoveAll(s.filesDir()); err != nil {
		return s.writeError(err)
	}
	return nil
}

// tableFiles makes table files of about equal size.
type tableFiles struct {
	sink  *epochSink
	epoch uint64
	paths []string
	open  *sstable.Writer
	size  int // of the rows in the open one
}

// set adds a row to the open file, or to a new one when that has enough.
func (f *tableFiles) set(key, value []byte) error {
	if f.size >= f.sink.sizes.file {
		if err := f.cut(); err != nil {
			return err
		}
	}
	if f.open == nil {
		st := f.sink.table.store
		path := st.disk.PathJoin(f.sink.filesDir(), fmt.Sprintf("%d-%d.sst", f.epoch, len(f.paths)))
		file, err := st.disk.Create(path, vfs.WriteCategoryUnspecified)
		if err != nil {
			return f.sink.writeError(err)
		}
		opts := st.options()
		opts.EnsureDefaults()
		f.open = sstable.NewWriter(objstorageprovider.NewFileWritable(file), opts.MakeWriterOptions(0, st.db.TableFormat()))
		f.paths = append(f.paths, path)
	}
	f.size += len(key) + len(value)
	if err := f.open.Set(key, value); err != nil {
		return f.sink.writeError(err)
	}
	return nil
}

// cut completes the open file and makes it durable.
func (f *tableFiles) cut() error {
	if f.open == nil {
		return nil
	}
	w := f.open
	f.open, f.size = nil, 0
	if err := w.Close(); err != nil {
		return f.sink.writeError(err)
	}
	return nil
}
