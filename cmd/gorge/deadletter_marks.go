package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gorge-stream/gorge/internal/connector/file"
)

// replayedDir is the folder, below that of the letters, of parts that were replayed.
const replayedDir = "replayed"

// marks notes which letters of one part were replayed, and moves the part away
// when all were.
type marks struct {
	letters *letters
	part    string
	done    map[int]bool
	f       *os.File // nil before the first mark
}

func (l *letters) openMarks(part string) (*marks, error) {
	done, err := l.replayed(part)
	if done == nil {
		done = map[int]bool{}
	}
	return &marks{letters: l, part: part, done: done}, err
}

// add notes one letter. It survives the death of this process; that of the
// machine is what the keys of requests are for.
func (m *marks) add(row int) error {
	if m.f == nil {
		f, err := os.OpenFile(m.letters.marks(m.part), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("note what was replayed: %w", err)
		}
		m.f = f
	}
	m.done[row] = true
	// The line begins with an end: a last one that was cut short does not run into it.
	if _, err := fmt.Fprintf(m.f, "\n%d\n", row); err != nil {
		return fmt.Errorf("note what was replayed: %w", err)
	}
	return nil
}

// close makes the marks durable. A part without letters left is moved away; the file
// that jobs without checkpoints append to stays, as one may have it open.
func (m *marks) close() error {
	if m.f != nil {
		if err := errors.Join(m.f.Sync(), m.f.Close()); err != nil {
			return fmt.Errorf("note what was replayed: %w", err)
		}
		m.f = nil
	}
	if len(m.done) == 0 || m.part == file.CurrentLetters {
		return nil
	}
	left := false
	if err := m.letters.eachOf(m.part, func(x *letter) error {
		left = left || !m.done[x.row]
		return nil
	}); err != nil || left {
		return err
	}
	if err := m.letters.retire(m.part); err != nil {
		return fmt.Errorf("move replayed letters away: %w", err)
	}
	return nil
}

// retire moves a part to the folder of those that were replayed.
func (l *letters) retire(part string) error {
	to := filepath.Join(l.dir, replayedDir)
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	name := filepath.Join(to, part)
	for n := 2; ; n++ { // another run in the same directory may have counted its parts anew
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			break
		}
		name = filepath.Join(to, fmt.Sprintf("%s.%d", part, n))
	}
	if err := os.Rename(filepath.Join(l.dir, part), name); err != nil {
		return err
	}
	if err := errors.Join(syncDir(to), syncDir(l.dir)); err != nil {
		return err
	}
	return os.Remove(l.marks(part))
}

// clean removes the marks of parts that were moved away by a replay that ended right then.
func (l *letters) clean() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return l.unreadable(err)
	}
	for _, e := range entries {
		part, ok := strings.CutPrefix(e.Name(), marksPrefix)
		if !ok {
			continue
		}
		if _, err := os.Lstat(filepath.Join(l.dir, part)); errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(l.marks(part)); err != nil {
				return fmt.Errorf("remove the marks of %s: %w", part, err)
			}
		}
	}
	return nil
}
