package file

import (
	"bufio"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"github.com/gorge-stream/gorge/internal/compress"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

// writeBuffer collects small chunks; chunks of its size and more go past it.
const writeBuffer = 256 << 10

// target is where a sink writes, as its settings say.
type target struct {
	path           string
	kind           compress.Kind
	place          diag.Place
	header, footer []byte
	extension      string // of parts, compression included
	letters        bool   // dead letters, in the data directory
	fs             vfs.FS
	log            *slog.Logger
}

func newTarget(set *spec.Values, env connector.SinkEnv) target {
	t := target{path: set.String("path"), place: set.PlaceOf("path"), header: env.Header, footer: env.Footer, fs: env.FS, log: env.Log}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if t.fs == nil {
		t.fs = vfs.Default
	}
	var ok bool
	if t.kind, ok = compress.Parse(set.String("compression")); !ok {
		t.kind = compress.ByExtension(t.path)
	}
	t.extension = extension(env.ContentType, t.kind)
	return t
}

// extension is what the names of parts end with, by the media type of the format.
func extension(mediaType string, k compress.Kind) string {
	_, ext, _ := strings.Cut(mediaType, "/")
	switch ext = strings.TrimPrefix(ext, "x-"); ext {
	case "", "octet-stream":
		ext = "bin"
	}
	return "." + ext + [...]string{compress.None: "", compress.Gzip: ".gz", compress.Zstd: ".zst"}[k]
}

// shape is what a path leads to.
type shape uint8

const (
	oneFile shape = iota
	folderOfParts
	device // or pipe
)

// shape looks at what is there; a name that ends with a slash is a folder also when there is none.
func (t *target) shape() (shape, error) {
	info, err := t.fs.Stat(filepath.Clean(t.path))
	switch {
	case errors.Is(err, fs.ErrNotExist) && isFolder(t.path):
		return folderOfParts, nil
	case errors.Is(err, fs.ErrNotExist):
		return oneFile, nil
	case err != nil:
		return 0, t.cannot("open", t.path, err)
	case info.IsDir():
		return folderOfParts, nil
	case isFolder(t.path):
		return 0, t.refuse("file/is-no-directory", "%s is no folder", strings.TrimRight(t.path, "/")).
			WithHint("leave out the / behind it for one file, or name another folder")
	case !info.Mode().IsRegular():
		return device, nil
	}
	return oneFile, nil
}

// isFolder reports whether a path says itself that it is a folder.
func isFolder(path string) bool { return strings.HasSuffix(path, "/") }

func (t *target) refuse(code diag.Code, format string, args ...any) *diag.Error {
	return diag.New(code, format, args...).At(t.place)
}

// cannot explains an error of the system about a path.
func (t *target) cannot(what, path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	e := t.refuse("file/cannot-"+diag.Code(what), "cannot %s %s", what, path).WithCause(err)
	if t.letters {
		return t.refuse("run/dead-letters", "dead letters cannot be written").WithCause(e).
			WithHint("see whether there is room: df -h %s; choose another data directory with --data, or name a sink under dead_letters:", filepath.Dir(path))
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return e.WithHint("make room: df -h %s", filepath.Dir(path))
	case errors.Is(err, fs.ErrNotExist):
		return e.WithHint("make its folder: mkdir -p %s", filepath.Dir(path))
	}
	return e
}

// lock keeps other sinks, of this process and of others, out of an open file or
// folder. Files without a descriptor are those of simulations.
func (t *target) lock(f vfs.File) error {
	if f.Fd() == vfs.InvalidFd {
		return nil
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return t.taken(err)
	}
	return nil
}

// taken explains why there is no lock.
func (t *target) taken(err error) error {
	if errors.Is(err, unix.EWOULDBLOCK) {
		return t.refuse("file/taken", "another sink is writing %s", t.path).WithHint("give each sink a path of its own, or wait for the other run")
	}
	return t.cannot("lock", t.path, err)
}

// identity is what the system knows a file by, whatever its name is.
type identity struct{ device, inode uint64 }

// identify returns the zero identity where there is none.
func identify(info fs.FileInfo) identity {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return identity{device: uint64(s.Dev), inode: s.Ino} //nolint:unconvert // its type differs among systems
	}
	return identity{}
}

// frames writes chunks to a file that its readers do not see yet. A compressed
// file is a row of frames: the bytes up to each cut are a whole stream.
type frames struct {
	f    vfs.File
	size int64 // of what was given to f
	kind compress.Kind
	buf  *bufio.Writer
	z    compress.Writer // nil between frames
}

func newFrames(f vfs.File, size int64, k compress.Kind) *frames {
	w := &frames{f: f, size: size, kind: k}
	w.buf = bufio.NewWriterSize((*filler)(w), writeBuffer)
	return w
}

// filler is the way from the buffer to the file.
type filler frames

func (w *filler) Write(p []byte) (int, error) {
	n, err := w.f.WriteAt(p, w.size)
	w.size += int64(n)
	return n, err
}

// write adds bytes to the frame.
func (w *frames) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if w.z == nil {
		z, err := compress.NewWriter(w.buf, w.kind)
		if err != nil {
			return err
		}
		w.z = z
	}
	_, err := w.z.Write(p)
	return err
}

// flush brings what can be read without the end of the frame to the file. A
// compressed file is left alone: a block for every few rows would undo the compression.
func (w *frames) flush() error {
	if w.kind != compress.None {
		return nil
	}
	return w.buf.Flush()
}

// cut ends the frame and brings everything to the file.
func (w *frames) cut() error {
	if w.z != nil {
		if err := w.z.Close(); err != nil {
			return err
		}
		w.z = nil
	}
	return w.buf.Flush()
}
