package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
)

// maxWhole bounds a split whose payload is one unit.
const maxWhole = 256 << 20

// headRead is the first guess at what a preamble takes.
const headRead = 4 << 10

// reader cuts one split into blocks. Its input is an io.Reader that may also
// return connector.ErrNoData; only a pump does.
type reader struct {
	src     *source
	name    string
	in      io.Reader
	pump    *pump // of a stream, else nil
	closers []func() error

	file     identity // of a regular file
	ends              // of what stands before carry[0] in the inflated stream
	skipping bool     // the rest of a record over the limit is still to be skipped
	carry    []byte   // read and not yet handed over
	preamble []byte   // meaningful when begun
	begun    bool     // the preamble is known
	line     int64    // of carry[0] while known, else 0
	end      error    // sticky: io.EOF or what the input failed with
}

var _ connector.SplitReader = (*reader)(nil)

// Poll hands over the next block. The memory of the block becomes that of the
// carry and the other way round, so that only the carry is copied.
func (r *reader) Poll(ctx context.Context, b *connector.Block) error {
	data, spare := r.carry, b.Data[:0]
	r.carry = nil
	data, n, err := r.next(ctx, data)
	if n == 0 {
		r.carry, b.Data = data, spare
		return err
	}
	b.Data, b.Rows, b.Preamble = data[:n], nil, r.preamble
	b.Place, b.Offset = r.name, r.size
	b.Line = r.line
	r.carry = append(spare, data[n:]...)
	r.add(b.Data)
	r.line = 0 // to count on would cost a pass over the bytes of every block
	return nil
}

// next reads on behind data until a block can be cut, and returns the length of
// the block, or 0 and the reason why there is none.
func (r *reader) next(ctx context.Context, data []byte) ([]byte, int, error) {
	if !r.begun {
		var err error
		if data, err = r.begin(ctx, data); err != nil {
			return data, 0, err
		}
	}
	longest := r.src.record + 2
	for target := r.src.block; ; {
		var err error
		data, err = r.fill(ctx, data, target)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, connector.ErrNoData) {
			return data, 0, err
		}
		if r.skipping {
			if data = r.skip(data); r.skipping && err != nil {
				return data, 0, err
			}
			if !errors.Is(err, io.EOF) {
				continue
			}
		}
		window := data[:min(len(data), target)] // there may be more, from an earlier look ahead; blocks must not depend on it
		n := r.cut(window, errors.Is(err, io.EOF))
		switch {
		case n > 0:
			return data, n, nil
		case r.src.frame.Whole && len(data) > maxWhole:
			return data, 0, r.src.refuse("file/too-large", "%s is read as one unit and is longer than %d bytes", r.name, maxWhole)
		case !r.src.frame.Whole && len(window) >= longest:
			return data, r.oversized(window[:longest]), nil
		case err != nil:
			return data, 0, err
		}
		if target *= 2; !r.src.frame.Whole {
			target = max(min(target, longest), r.src.block)
		}
	}
}

// cut returns how much of data can be handed over. What stands at the end of
// the split is, also without a newline.
func (r *reader) cut(data []byte, atEnd bool) int {
	switch f := &r.src.frame; {
	case atEnd:
		return len(data)
	case f.Whole:
		return 0
	case f.Cut != nil:
		return f.Cut(data)
	}
	return bytes.LastIndexByte(data, '\n') + 1
}

// oversized returns how much of a record over the limit is handed over, and has
// the rest of it skipped.
func (r *reader) oversized(head []byte) int {
	if i := bytes.IndexByte(head, '\n'); i >= 0 {
		return i + 1 // the format takes no end from here to the limit: give it this line alone
	}
	r.skipping = true
	return len(head)
}

// skip drops what is left of a record over the limit.
func (r *reader) skip(data []byte) []byte {
	n := bytes.IndexByte(data, '\n') + 1
	if r.skipping = n == 0; r.skipping {
		n = len(data)
	}
	return r.drop(data, n)
}

// drop takes the first n bytes off data.
func (r *reader) drop(data []byte, n int) []byte {
	r.add(data[:n])
	return data[:copy(data, data[n:])]
}

// begin finds the preamble at the start of the split and takes it off data.
func (r *reader) begin(ctx context.Context, data []byte) ([]byte, error) {
	f := &r.src.frame
	if f.Whole || f.Preamble == nil {
		r.begun = true
		return data, nil
	}
	for target := headRead; ; target *= 2 {
		var err error
		data, err = r.fill(ctx, data, target)
		atEnd := errors.Is(err, io.EOF)
		if err != nil && !atEnd && !errors.Is(err, connector.ErrNoData) {
			return data, err
		}
		n := f.Preamble(data)
		if n < 0 && atEnd {
			n = len(data)
		}
		switch {
		case n >= 0:
			r.begun, r.preamble = true, bytes.Clone(data[:n])
			r.line += int64(bytes.Count(r.preamble, []byte{'\n'}))
			return r.drop(data, n), nil
		case len(data) > r.src.record+2:
			return data, r.src.refuse("file/header-too-long", "the header of %s is longer than %d bytes", r.name, r.src.record)
		case err != nil:
			return data, err
		}
	}
}

// fill reads until data is target bytes long and leaves codec.Pad bytes of
// capacity behind them. The error says why there are fewer.
func (r *reader) fill(ctx context.Context, data []byte, target int) ([]byte, error) {
	if need := max(target, len(data)) + codec.Pad; cap(data) < need {
		data = append(make([]byte, 0, need), data...)
	}
	for idle := 0; len(data) < target; {
		if r.end != nil {
			return data, r.end
		}
		if err := ctx.Err(); err != nil {
			return data, err
		}
		n, err := r.in.Read(data[len(data):target])
		data = data[:len(data)+n]
		if idle++; n > 0 {
			idle = 0
		}
		switch {
		case errors.Is(err, connector.ErrNoData):
			return data, err
		case errors.Is(err, io.EOF):
			r.end = io.EOF
		case err != nil:
			r.end = r.src.cannot("read", r.name, err)
		case idle > 100:
			r.end = r.src.cannot("read", r.name, io.ErrNoProgress)
		}
	}
	return data, nil
}

// resume goes to a position in a regular file that is open at its start. The
// file must hold the bytes that were read before; it may have grown.
func (r *reader) resume(ctx context.Context, at position, f *os.File) error {
	data, err := r.begin(ctx, nil)
	if err != nil {
		return err
	}
	if r.size > at.offset {
		return r.changed(at, fmt.Errorf("it was read up to byte %d, and its header alone is longer", at.offset))
	}
	if r.in == io.Reader(f) {
		data, err = nil, r.seek(at, f)
	} else {
		data, err = r.inflateUpTo(ctx, at, data) // a compressed stream has to be inflated up to the place
	}
	if err != nil {
		return err
	}
	if r.fingerprint() != at.content {
		return r.changed(at, fmt.Errorf("what stands before byte %d, up to which it was read, is not what was read", at.offset))
	}
	r.carry, r.skipping, r.line = data, at.skipping, 0
	return nil
}

// seek goes to a position in a file that is not compressed.
func (r *reader) seek(at position, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return r.src.cannot("read", r.name, err)
	}
	if info.Size() < at.offset {
		return r.changed(at, fmt.Errorf("it was read up to byte %d, and has only %d bytes", at.offset, info.Size()))
	}
	if err := r.load(f, at.offset); err != nil {
		return r.src.cannot("read", r.name, err)
	}
	r.end = nil // begin may have seen the end
	if _, err := f.Seek(at.offset, io.SeekStart); err != nil {
		return r.src.cannot("seek", r.name, err)
	}
	return nil
}

// inflateUpTo drops what comes before a position, and returns what was read behind it.
func (r *reader) inflateUpTo(ctx context.Context, at position, data []byte) ([]byte, error) {
	for {
		if data = r.drop(data, int(min(int64(len(data)), at.offset-r.size))); r.size == at.offset {
			return data, nil
		}
		var err error
		data, err = r.fill(ctx, data, r.src.block)
		if errors.Is(err, io.EOF) && len(data) == 0 {
			return nil, r.changed(at, fmt.Errorf("it was read up to byte %d of its inflated content, and has only %d bytes", at.offset, r.size))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
}

// changed refuses to go on in a file that is not the one that was read before.
func (r *reader) changed(at position, why error) error { return r.src.changed(r.name, at, why) }

// changed says so, and where the file is now if it was renamed within its folder.
func (s *source) changed(path string, at position, why error) error {
	e := s.refuse("file/changed", "%s is not the file that was read before", path).WithCause(why).
		WithHint("put the file back, or start the pipeline anew: gorge run --fresh")
	if now := at.file.find(filepath.Dir(path)); now != "" && now != filepath.Clean(path) {
		e = e.WithHint("that file is %s now: put it back, or start the pipeline anew: gorge run --fresh", now)
	}
	return e
}

// find returns the path of a file in a folder, "" when it is not there.
func (id identity) find(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil || id == (identity{}) {
		return ""
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() && identify(info) == id {
			return filepath.Join(dir, entry.Name())
		}
	}
	return ""
}

// Position returns where the split stands behind the last block.
func (r *reader) Position() connector.Position {
	return position{offset: r.size, skipping: r.skipping, file: r.file, content: r.fingerprint()}.encode()
}

// Close ends the pump of a stream and closes the file.
func (r *reader) Close() error {
	if r.pump != nil {
		r.src.forget(r.pump)
		r.pump.stop()
		r.pump = nil
	}
	var errs []error
	for i := len(r.closers) - 1; i >= 0; i-- { // what reads a file is closed before it
		errs = append(errs, r.closers[i]())
	}
	r.closers = nil
	r.end = errors.New("the reader is closed")
	return errors.Join(errs...)
}
