package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// defaultBlock is the size of a block when the environment gives none.
const defaultBlock = 256 << 10

// source is the source of the files of some patterns.
type source struct {
	// constant after construction
	patterns    []string
	place       diag.Place
	compression string
	inflated    int64 // cap on inflated bytes of a split
	frame       codec.Frame
	block       int
	record      int // Limits.RecordBytes
	stdin       *os.File
	log         *slog.Logger

	mu    sync.Mutex
	pumps []*pump       // guarded by mu: those of open splits
	ready chan struct{} // guarded by mu: closed and replaced when a pump has news
}

var _ connector.Source = (*source)(nil)

// stdinTaken tells that a split reads standard input; two of them would share it out at random.
var stdinTaken atomic.Bool

func newSource(set *spec.Values, env connector.SourceEnv) (connector.Source, error) {
	return newSourceWith(set, env, os.Stdin)
}

func newSourceWith(set *spec.Values, env connector.SourceEnv, stdin *os.File) (connector.Source, error) {
	limits := env.Limits.WithDefaults()
	s := &source{
		patterns: set.Strings("path"), place: set.PlaceOf("path"), compression: set.String("compression"),
		inflated: set.Int("max_inflated"), block: env.BlockBytes, record: limits.RecordBytes, stdin: stdin, log: env.Log, ready: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.block <= 0 {
		s.block = defaultBlock
	}
	if env.Format != nil && env.Format.Frame != nil {
		s.frame = env.Format.Frame(env.FormatValues, limits)
	}
	return s, nil
}

// Splits finds the files and makes sure that each can be read, so that a
// mistake shows at the start and not when the files before it are done.
func (s *source) Splits(context.Context) ([]connector.Split, error) {
	var out []connector.Split
	seen := map[string]bool{}
	for _, p := range s.patterns {
		paths, err := s.expand(p)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if !seen[path] {
				seen[path] = true
				out = append(out, connector.Split{ID: path, Bounded: true})
			}
		}
	}
	return out, nil
}

func (s *source) refuse(code diag.Code, format string, args ...any) *diag.Error {
	return diag.New(code, format, args...).At(s.place)
}

// expand returns the files of one pattern, sorted.
func (s *source) expand(pattern string) ([]string, error) {
	if pattern == stdinName {
		return []string{stdinName}, nil
	}
	info, err := os.Stat(pattern)
	switch {
	case err == nil && info.IsDir():
		return nil, s.refuse("file/is-directory", "%s is a folder", pattern).
			WithHint("name its files: path: %q", filepath.Join(pattern, "*"))
	case err == nil: // also a name that happens to hold characters of patterns
		return []string{pattern}, s.readable(pattern, info)
	case !strings.ContainsAny(pattern, `*?[`):
		return nil, s.cannot("open", pattern, err)
	case strings.Contains(pattern, "**"):
		return nil, s.refuse("file/bad-pattern", "the pattern %q holds **, which is not supported", pattern).
			WithHint("give one pattern for each depth: path: [\"data/*.csv\", \"data/*/*.csv\"]")
	}
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, s.refuse("file/bad-pattern", "the pattern %q is not well-formed", pattern).WithCause(err)
	}
	var out []string
	for _, path := range found {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			return nil, s.cannot("open", path, err)
		case info.IsDir():
			continue
		}
		if err := s.readable(path, info); err != nil {
			return nil, err
		}
		out = append(out, path)
	}
	if len(out) == 0 {
		// Glob passes over folders that it cannot read.
		if _, err := os.ReadDir(filepath.Dir(pattern)); errors.Is(err, fs.ErrPermission) {
			return nil, s.cannot("open", filepath.Dir(pattern), err)
		}
		wd, _ := os.Getwd()
		return nil, s.refuse("file/no-match", "no file matches %q", pattern).
			WithHint("relative paths start at the working directory, %s; quote the pattern and see what is there: ls -d %s", wd, pattern)
	}
	slices.Sort(out)
	return out, nil
}

// readable opens and closes a regular file; opening a pipe would disturb its writer.
func (s *source) readable(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return s.cannot("open", path, err)
	}
	return f.Close()
}

// cannot explains an error of the system about a file.
func (s *source) cannot(what, path string, err error) error {
	var p *fs.PathError
	cause := err
	if errors.As(err, &p) {
		cause = p.Err // the path is in the sentence
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		wd, _ := os.Getwd()
		return s.refuse("file/not-found", "there is no file %s", path).WithHint("relative paths start at the working directory, %s", wd)
	case errors.Is(err, fs.ErrPermission):
		return s.refuse("file/no-permission", "cannot %s %s", what, path).WithCause(cause).WithHint("see who may read it: ls -l %s", path)
	}
	return s.refuse("file/cannot-"+diag.Code(what), "cannot %s %s", what, path).WithCause(cause)
}

// Open opens a split. What it reads from is a plain file, an inflating reader,
// or the pump of a stream.
func (s *source) Open(ctx context.Context, split connector.Split, at connector.Position) (connector.SplitReader, error) {
	pos, err := decodePosition(at)
	if err != nil {
		return nil, s.refuse("file/bad-position", "the stored position of %s cannot be read", split.ID).WithCause(err)
	}
	f, name, err := s.openFile(split.ID, pos)
	if err != nil {
		return nil, err
	}
	r := &reader{src: s, name: name, closers: []func() error{f.Close}, line: 1}
	if split.ID == stdinName {
		r.closers = []func() error{func() error { stdinTaken.Store(false); return nil }}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(s.cannot("open", name, err), r.Close())
	}
	if info.Mode().IsRegular() && split.ID != stdinName {
		r.file = identify(info)
		err = r.openRegular(ctx, f, pos)
	} else {
		if pos.offset > 0 {
			s.log.Warn("a stream cannot be read a second time: what comes now is taken for what follows", "path", name, "read", pos.offset)
		}
		err = r.openStream(f)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (s *source) openFile(id string, at position) (*os.File, string, error) {
	if id == stdinName {
		if !stdinTaken.CompareAndSwap(false, true) {
			return nil, "", s.refuse("file/stdin-taken", "standard input is read by two sources").WithHint("let one source read - and give its rows to both steps")
		}
		return s.stdin, "standard input", nil
	}
	f, err := openForReading(id)
	if errors.Is(err, fs.ErrNotExist) && at.offset > 0 {
		return nil, "", s.changed(id, at, fmt.Errorf("it was read up to byte %d, and is not there any more", at.offset))
	}
	if err != nil {
		return nil, "", s.cannot("open", id, err)
	}
	return f, id, nil
}

// openRegular prepares the reading of a file that can be read again.
func (r *reader) openRegular(ctx context.Context, f *os.File, at position) error {
	if err := r.inflate(f); err != nil || at.offset == 0 {
		return err
	}
	return r.resume(ctx, at, f)
}

// inflate sets r.in to the inflated bytes of a regular file.
func (r *reader) inflate(f *os.File) error {
	kind, ok := compress.Parse(r.src.compression)
	if !ok {
		var head [8]byte
		n, err := f.ReadAt(head[:], 0)
		if err != nil && !errors.Is(err, io.EOF) {
			return r.src.cannot("read", r.name, err)
		}
		kind = compress.Detect(head[:n])
	}
	if kind == compress.None {
		r.in = f
		return nil
	}
	z, err := compress.NewReader(f, kind, r.src.inflated)
	if err != nil {
		return r.src.cannot("read", r.name, err)
	}
	r.in, r.closers = z, append(r.closers, z.Close)
	return nil
}

// openStream prepares the reading of something that comes when it comes.
func (r *reader) openStream(f *os.File) error {
	p, err := startPump(f, r.src.compression, r.src.inflated, r.src.notify)
	if err != nil {
		return r.src.cannot("read", r.name, err)
	}
	r.in, r.pump = p, p
	r.src.mu.Lock()
	r.src.pumps = append(r.src.pumps, p)
	r.src.mu.Unlock()
	return nil
}

// forget takes the pump of a closed split out.
func (s *source) forget(p *pump) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pumps = slices.DeleteFunc(s.pumps, func(q *pump) bool { return q == p })
}

// notify wakes everybody in Wait.
func (s *source) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ready)
	s.ready = make(chan struct{})
}

// Wait waits for a pump with news. Regular files are never dry.
func (s *source) Wait(ctx context.Context) error {
	s.mu.Lock()
	ready := s.ready
	news := slices.ContainsFunc(s.pumps, (*pump).news)
	s.mu.Unlock()
	if news {
		return ctx.Err()
	}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for input: %w", ctx.Err())
	}
}

// Close has nothing left to do: the readers close what they opened.
func (s *source) Close() error { return nil }
