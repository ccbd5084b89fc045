package faults

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// watcher is a reader beside the engine: it looks at folders of output again and
// again. A part that has its name must be whole, and stay as it is.
type watcher struct {
	folders []string
	stop    chan struct{}
	over    sync.WaitGroup
	looks   int
	seen    map[string]uint32 // checksum by path
	err     error
}

func watch(folders []string) *watcher {
	w := &watcher{folders: folders, stop: make(chan struct{}), seen: map[string]uint32{}}
	w.over.Go(func() {
		ticker := time.NewTicker(3 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-w.stop:
				return
			case <-ticker.C:
				w.look()
			}
		}
	})
	return w
}

// look reads the parts that were not there before.
func (w *watcher) look() {
	w.looks++
	for _, folder := range w.folders {
		for _, path := range parts(folder) {
			if _, known := w.seen[path]; known {
				continue
			}
			b, err := os.ReadFile(path)
			if err != nil {
				w.err = errors.Join(w.err, fmt.Errorf("a part was listed and is gone: %w", err))
				continue
			}
			if len(b) == 0 || b[len(b)-1] != '\n' {
				w.err = errors.Join(w.err, fmt.Errorf("%s was seen with a part of a row: %d bytes", path, len(b)))
			}
			w.seen[path] = crc32.ChecksumIEEE(b)
		}
	}
}

// end looks at everything once more and returns how often it has looked.
func (w *watcher) end() (looks int, err error) {
	close(w.stop)
	w.over.Wait()
	for path, sum := range w.seen {
		b, err := os.ReadFile(path)
		if err != nil {
			w.err = errors.Join(w.err, fmt.Errorf("a part was seen and is gone: %w", err))
		} else if crc32.ChecksumIEEE(b) != sum {
			w.err = errors.Join(w.err, fmt.Errorf("%s is not what was seen before", path))
		}
	}
	return w.looks, w.err
}

// parts returns the parts of a folder of output in the order of their epochs.
func parts(folder string) []string {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil // it is not there yet
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "part-") {
			out = append(out, filepath.Join(folder, e.Name()))
		}
	}
	return out
}
