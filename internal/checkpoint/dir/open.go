package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// Open opens the store of an engine and makes it if need be. While it is open, no
// other process can open it. The caller closes it.
func Open(files vfs.FS, path string) (*Store, error) {
	if err := makeDir(files, path); err != nil {
		return nil, openError(path, err)
	}
	lock, err := files.Lock(files.PathJoin(path, "LOCK"))
	if err != nil {
		return nil, lockError(path, err)
	}
	s := newStore(files, path)
	s.lock = lock
	if err := s.prepare(); err != nil {
		return nil, openError(path, errors.Join(err, lock.Close()))
	}
	return s, nil
}

// OpenReadOnly opens a store to look at, beside the engine that has it open, if any.
// What it shows may be a moment old, and of a power cut it knows nothing.
func OpenReadOnly(files vfs.FS, path string) (*Store, error) {
	s := newStore(files, path)
	for _, folder := range checkpoint.Folders {
		if _, err := files.Stat(s.file(folder)); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, diag.New("checkpoint/none", "there is no checkpoint store at %s", path).WithCause(err).
					WithHint("look for the data directory that the pipeline ran with")
			}
			return nil, openError(path, err)
		}
	}
	return s, nil
}

func newStore(files vfs.FS, path string) *Store {
	s := &Store{files: files, path: path, folders: map[string]*directory{}, mark: rand.Text()[:8]}
	for _, folder := range checkpoint.Folders {
		s.folders[folder] = &directory{files: files, path: s.file(folder)}
	}
	return s
}

// prepare makes the folders, removes pending files, and makes the names durable
// that a killed engine left: what is about to be read must not vanish later.
func (s *Store) prepare() error {
	pending := s.files.PathJoin(s.path, pendingFolder)
	if err := makeDir(s.files, pending); err != nil {
		return err
	}
	leftovers, err := s.files.List(pending)
	if err != nil {
		return err
	}
	for _, leaf := range leftovers {
		if err := s.files.Remove(s.files.PathJoin(pending, leaf)); err != nil {
			return err
		}
	}
	for _, folder := range checkpoint.Folders {
		if err := makeDir(s.files, s.file(folder)); err != nil {
			return err
		}
		if failpoint.Bug("checkpoint-dir-open-not-synced") {
			continue
		}
		if err := s.folders[folder].sync(); err != nil {
			return err
		}
	}
	return nil
}

func lockError(path string, err error) error {
	// EACCES may also be what making the file met: then it comes with its path.
	file := (*fs.PathError)(nil)
	taken := errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "current process")
	if !taken || errors.As(err, &file) {
		return openError(path, err)
	}
	return diag.New("checkpoint/locked", "another engine has the checkpoint store %s open", path).WithCause(err).
		WithHint("stop it, or give this pipeline another name or data directory")
}

func openError(path string, err error) error {
	return diag.New("checkpoint/open", "the checkpoint store %s cannot be opened", path).WithCause(err).WithHint("%s", hint(path, err))
}

func (s *Store) readError(err error) error {
	return diag.New("checkpoint/read", "the checkpoint store %s cannot be read", s.path).WithCause(err).WithHint("%s", hint(s.path, err))
}

func (s *Store) writeError(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err // the disk is well
	}
	return diag.New("checkpoint/write", "the checkpoint store %s cannot be written", s.path).WithCause(err).WithHint("%s", hint(s.path, err))
}

// hint says what to do about an error of the file system.
func hint(path string, err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Sprintf("the disk is full, make room: df -h %s", path)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Sprintf("look at its owner and permissions: ls -ld %s", path)
	case errors.Is(err, syscall.EIO):
		return "the disk fails; look at the kernel's messages: dmesg"
	}
	return fmt.Sprintf("look at the directory and its disk: ls -l %s; df -h %s", path, path)
}
