// Package dir keeps checkpoints in a directory of a local disk.
//
// An object is a file: <path>/chunks/<name> and <path>/manifests/<name>. It is written
// and synced under a name of its own in <path>/pending, then linked to its name,
// then the directory is synced. From this follows:
//
//  1. A name shows all bytes of its object or is not there, also after a power cut.
//  2. link(2) fails if the name is taken, so of several claimers one wins, even if
//     they are in processes that should not run at the same time.
//  3. No call returns nil, ErrExists or a list before the names it speaks of are durable.
//     Open syncs what an engine that was killed may have left in memory.
//  4. A failed sync is never repeated: the kernel drops what it could not write and
//     reports success the next time. From then on the store refuses to write.
//
// <path>/LOCK keeps a second engine out; OpenReadOnly goes without it.
//
// The package does not know what the objects mean. vfs.FS stands below it, so that
// tests can cut the power at every operation.
package dir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

var (
	objectWritten = failpoint.New("checkpoint-dir/object-written")
	objectSynced  = failpoint.New("checkpoint-dir/object-synced")
	putNamed      = failpoint.New("checkpoint-dir/put-named")
	putDurable    = failpoint.New("checkpoint-dir/put-durable")
	claimNamed    = failpoint.New("checkpoint-dir/claim-named")
	claimDurable  = failpoint.New("checkpoint-dir/claim-durable")
	objectDeleted = failpoint.New("checkpoint-dir/object-deleted")
)

// pendingFolder holds files that have no name yet.
const pendingFolder = "pending"

// pieceBytes is written at once; between pieces a cancelled context is seen.
const pieceBytes = 1 << 20

// Store is one directory. Its methods may be called by any goroutine.
type Store struct {
	files   vfs.FS
	path    string
	lock    io.Closer             // nil: read only
	folders map[string]*directory // by the first part of the names
	mark    string                // in the names of pending files: no other process has it
	next    atomic.Uint64         // number of the next pending file
	broken  atomic.Pointer[error] // the first sync that failed
}

var _ checkpoint.Store = (*Store)(nil)

// Put implements checkpoint.Store. Other bytes under a name that is there are refused.
func (s *Store) Put(ctx context.Context, name string, data []byte) error {
	existed, err := s.publish(ctx, name, data, putNamed)
	if err != nil {
		return err
	}
	if existed {
		there, err := s.read(name)
		if err != nil {
			return err
		}
		if !bytes.Equal(there, data) {
			return s.writeError(fmt.Errorf("%s is there already, with other bytes", s.file(name)))
		}
	}
	putDurable.Hit()
	return nil
}

// Claim implements checkpoint.Store.
func (s *Store) Claim(ctx context.Context, name string, data []byte) error {
	existed, err := s.publish(ctx, name, data, claimNamed)
	if err != nil {
		return err
	}
	if existed {
		return fmt.Errorf("%s: %w", s.file(name), checkpoint.ErrExists)
	}
	claimDurable.Hit()
	return nil
}

// publish makes data durable under its name, or reports that the name existed: then that name is durable.
func (s *Store) publish(ctx context.Context, name string, data []byte, named *failpoint.Point) (existed bool, err error) {
	if err := s.mayWrite(name); err != nil {
		return false, err
	}
	pending, err := s.write(ctx, data)
	if err == nil {
		existed, err = s.give(pending, name)
		named.Hit()
	}
	// A leftover does no harm and Open removes it, so an error here is none of the caller's.
	_ = s.files.Remove(pending)
	if err != nil {
		return false, s.writeError(err)
	}
	if failpoint.Bug("checkpoint-dir-name-not-synced") || existed && failpoint.Bug("checkpoint-dir-loser-not-synced") {
		return existed, nil
	}
	if err := s.folder(name).sync(); err != nil {
		s.broken.CompareAndSwap(nil, &err)
		return false, s.writeError(err)
	}
	return existed, nil
}

// write writes and syncs a pending file and returns its path.
func (s *Store) write(ctx context.Context, data []byte) (string, error) {
	path := s.files.PathJoin(s.path, pendingFolder, fmt.Sprintf("%s-%d", s.mark, s.next.Add(1)))
	if err := ctx.Err(); err != nil {
		return path, err
	}
	f, err := s.files.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return path, fmt.Errorf("create %s: %w", path, err)
	}
	// A vfs.File may change the bytes that it is given, and data is the caller's.
	piece := make([]byte, min(len(data), pieceBytes))
	for rest := data; len(rest) > 0; {
		n := copy(piece, rest)
		rest = rest[n:]
		if _, err = f.Write(piece[:n]); err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
			break
		}
		if err = ctx.Err(); err != nil {
			break
		}
	}
	objectWritten.Hit()
	if err == nil && !failpoint.Bug("checkpoint-dir-object-not-synced") {
		if syncErr := f.Sync(); syncErr != nil {
			err = fmt.Errorf("sync %s: %w", path, syncErr)
			s.broken.CompareAndSwap(nil, &err)
		}
	}
	objectSynced.Hit()
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("close %s: %w", path, closeErr)
	}
	return path, err
}

// give links a pending file to its name, or reports that the name is taken.
func (s *Store) give(pending, name string) (existed bool, err error) {
	link := s.files.Link
	if failpoint.Bug("checkpoint-dir-claim-renames-over") {
		link = s.files.Rename
	}
	err = link(pending, s.file(name))
	if errors.Is(err, fs.ErrExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("name %s: %w", s.file(name), err)
	}
	return false, nil
}

// mayWrite refuses odd names, a store that is read only, and one whose disk lost something.
func (s *Store) mayWrite(name string) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	if s.lock == nil {
		return fmt.Errorf("the checkpoint store %s was opened to read only", s.path)
	}
	if err := s.broken.Load(); err != nil {
		return s.writeError(fmt.Errorf("an earlier write was lost: %w", *err))
	}
	return nil
}

// Get implements checkpoint.Store.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	if err := checkpoint.CheckName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.read(name)
}

func (s *Store) read(name string) ([]byte, error) {
	f, err := s.files.Open(s.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", s.file(name), checkpoint.ErrNotFound)
	}
	if err != nil {
		return nil, s.readError(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, s.readError(err)
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, s.readError(fmt.Errorf("read %s: %w", s.file(name), err))
	}
	return data, nil
}

// List implements checkpoint.Store. Files whose names are none of ours are left out.
func (s *Store) List(ctx context.Context, prefix string) ([]checkpoint.Object, error) {
	var out []checkpoint.Object
	for _, folder := range checkpoint.Folders {
		if !strings.HasPrefix(folder+"/", prefix) && !strings.HasPrefix(prefix, folder+"/") {
			continue
		}
		leaves, err := s.files.List(s.files.PathJoin(s.path, folder))
		if err != nil {
			return nil, s.readError(err)
		}
		for _, leaf := range leaves {
			name := folder + "/" + leaf
			if !strings.HasPrefix(name, prefix) || checkpoint.CheckName(name) != nil {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			info, err := s.files.Stat(s.file(name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // deleted since
			}
			if err != nil {
				return nil, s.readError(err)
			}
			out = append(out, checkpoint.Object{Name: name, Size: info.Size(), Written: info.ModTime()})
		}
	}
	slices.SortFunc(out, func(a, b checkpoint.Object) int { return strings.Compare(a.Name, b.Name) })
	return out, ctx.Err()
}

// Delete implements checkpoint.Store. It does not sync: a deletion that comes
// back after a power cut is deleted again.
func (s *Store) Delete(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := s.mayWrite(name); err != nil {
			return err
		}
	}
	var failures []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.files.Remove(s.file(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, err)
		}
		objectDeleted.Hit()
	}
	if err := errors.Join(failures...); err != nil {
		return s.writeError(err)
	}
	return ctx.Err()
}

// Close lets go of the lock.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// file returns the path of an object.
func (s *Store) file(name string) string { return s.files.PathJoin(s.path, name) }

func (s *Store) folder(name string) *directory {
	folder, _, _ := strings.Cut(name, "/")
	return s.folders[folder]
}
