package journal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/diag"
)

var update = flag.Bool("update", false, "write the golden files anew")

// small makes a journal of two starts, with three segments and a file of keys. It
// returns a copy of its files after a crash, which the last record may not survive.
func small(t testing.TB, sealed bool) (fs *vfs.MemFS, h told) {
	base := vfs.NewCrashableMem()
	o := options(base)
	o.Segment = 200
	seq := uint64(1)
	for range 2 {
		j, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if _, err := j.Append(&Record{Payload: record(seq).Payload[:10], Keyed: true, Key: record(seq + 1).Key, Tag: record(seq).Tag}); err != nil {
				t.Fatal(err)
			}
			seq++
		}
		if err := j.Trim(5, 2); err != nil {
			t.Fatal(err)
		}
		if seq == 11 && !sealed {
			fs = base.CrashClone(vfs.CrashCloneCfg{})
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if sealed {
		fs = base.CrashClone(vfs.CrashCloneCfg{})
	}
	return fs, told{acked: seq, released: 5, keep: 2}
}

// serves opens a journal of small and returns the payloads from the released record on.
func serves(fs vfs.FS, h told) (out []string, keys int, err error) {
	o := options(fs)
	o.Keys = func(Key, uint64, int64) { keys++ }
	j, err := Open(o)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	r, err := j.Read(h.released)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		g, err := r.Next()
		if errors.Is(err, ErrNone) {
			return out, keys, nil
		}
		if err != nil {
			return nil, 0, err
		}
		for _, rec, ok := g.Next(); ok; _, rec, ok = g.Next() {
			out = append(out, string(rec.Payload))
		}
	}
}

// TestEveryFlippedBitIsFound flips each bit of each file. A seal behind the last
// record leaves no byte in which a flip could pass for an interrupted write.
func TestEveryFlippedBitIsFound(t *testing.T) {
	for _, sealed := range []bool{true, false} {
		fs, h := small(t, sealed)
		want, wantKeys, err := serves(fs.CrashClone(vfs.CrashCloneCfg{}), h)
		if err != nil || len(want) != 6 || wantKeys != 9 {
			t.Fatalf("%d records, %d keys: %v", len(want), wantKeys, err)
		}
		flips, found, shorter := 0, 0, 0
		names := filesOf(t, fs)
		for _, name := range names {
			path := fs.PathJoin(dir, name)
			data := fileOf(t, fs, path)
			for i := range len(data) * 8 {
				clone := fs.CrashClone(vfs.CrashCloneCfg{})
				flipped := bytes.Clone(data)
				flipped[i/8] ^= 1 << (i % 8)
				put(t, clone, path, flipped)
				flips++
				got, keys, err := serves(clone, h)
				var d *diag.Error
				switch {
				case errors.As(err, &d):
					found++
					if d.Code != "journal/damaged" || !strings.Contains(d.Sentence, name) {
						t.Fatalf("%s, bit %d: %v names another file", name, i, err)
					}
				case err != nil:
					t.Fatalf("%s, bit %d: %v", name, i, err)
				case !sealed && len(got) == 5 && fmt.Sprint(got) == fmt.Sprint(want[:5]) && name == names[len(names)-1]:
					shorter++
				case fmt.Sprint(got) != fmt.Sprint(want) || keys != wantKeys:
					t.Fatalf("%s, bit %d of %d: served %q", name, i, len(data)*8, got)
				}
			}
		}
		t.Logf("sealed %v: %d flips, %d found, %d in the last record", sealed, flips, found, shorter)
		if found == 0 || sealed && shorter > 0 || !sealed && shorter == 0 {
			t.Errorf("%d were found, %d in the last record", found, shorter)
		}
	}
}

func TestDamageUnderARunningReaderIsFound(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs)
	o.Memory = 0
	j := mustOpen(t, o)
	for seq := uint64(1); seq <= 20; seq++ {
		if _, err := j.Append(record(seq)); err != nil {
			t.Fatal(err)
		}
	}
	name := filesOf(t, fs)[1]
	data := fileOf(t, fs, j.path(name))
	data[segmentHeader+frameHeader+20] ^= 4
	put(t, fs, j.path(name), data)
	_, err := readAll(j, 1)
	wantCode(t, err, "journal/damaged")
	if err != nil && !strings.Contains(err.Error(), name) {
		t.Errorf("%v does not name %s", err, name)
	}
}

func TestMissingFilesAreFound(t *testing.T) {
	fs, h := small(t, true)
	names := filesOf(t, fs)
	for i, name := range names {
		clone := fs.CrashClone(vfs.CrashCloneCfg{})
		if err := clone.Remove(clone.PathJoin(dir, name)); err != nil {
			t.Fatal(err)
		}
		got, keys, err := serves(clone, h)
		last, first := i == len(names)-1, strings.HasSuffix(name, keysExt)
		switch {
		case err == nil && first && len(got) == 6: // a lost file of keys is not missed: the journal knows no list of its files
		case err == nil && last && len(got) < 6: // only a checkpoint can know how far the journal went
			o := options(clone)
			j := mustOpen(t, o)
			_, err := j.Read(h.acked)
			wantCode(t, err, "journal/lost")
		case err == nil:
			t.Errorf("without %s: %q, %d keys", name, got, keys)
		}
	}
	clone := fs.CrashClone(vfs.CrashCloneCfg{})
	for _, name := range names {
		if strings.HasSuffix(name, segmentExt) {
			if err := clone.Remove(clone.PathJoin(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _, err := serves(clone, h)
	wantCode(t, err, "journal/damaged")
}

func TestDeletionsThatCameBackAreAccepted(t *testing.T) {
	fs := vfs.NewMem()
	j := mustOpen(t, options(fs))
	old := map[string][]byte{}
	for seq := uint64(1); seq <= 40; seq++ {
		if _, err := j.Append(record(seq)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range filesOf(t, fs) {
		old[name] = fileOf(t, fs, j.path(name))
	}
	if err := j.Trim(30, 28); err != nil {
		t.Fatal(err)
	}
	left := filesOf(t, fs)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	gone := 0
	for name, data := range old {
		if err := fs.Remove(j.path(name)); err == nil {
			put(t, fs, j.path(name), data) // as it was
		} else if gone++; gone%2 == 0 {
			put(t, fs, j.path(name), data) // every other deletion came back
		}
	}
	if gone < 6 {
		t.Fatalf("%d files were deleted, left are %v", gone, left)
	}
	h := told{acked: 41, released: 30, keep: 28}
	if err := h.check(fs); err != nil {
		t.Error(err)
	}
	j = mustOpen(t, options(fs))
	_, err := j.Read(2)
	wantCode(t, err, "journal/gone")
	if err := j.Trim(35, 35); err != nil {
		t.Error(err)
	}
	for _, name := range filesOf(t, fs) {
		if first, _, _ := parseName(name); first < 20 {
			t.Errorf("%s came back and stays", name)
		}
	}
}

// golden is a segment with every kind of frame, and a file of keys.
func golden() (segmentFile, keys []byte) {
	s := segment{id: 0x1122334455667788, salt: 0x99aabbccddeeff00, first: 7, released: 3}
	segmentFile = s.header()
	b := make([]byte, frameHeader)
	b = appendRecord(b, &Record{Tag: 1, Payload: []byte("{\"a\":1}\n")})
	b = appendRecord(b, &Record{Keyed: true, Key: Key([]byte("abcdefghijklmnopqrstuvwx")), Payload: []byte("two\n")})
	sealFrame(b, &frame{first: 7, count: 2, released: 5, time: 1_760_000_000_000_000}, s.salt)
	segmentFile = append(segmentFile, b...)
	b = make([]byte, frameHeader)
	sealFrame(b, &frame{first: 9, released: 6, time: 1_760_000_000_000_001}, s.salt)
	segmentFile = append(segmentFile, b...)
	k := keyFile{id: s.id, first: 1, next: 7}
	return segmentFile, k.encode([]keyEntry{{Key([]byte("ABCDEFGHIJKLMNOPQRSTUVWX")), 4, 1_759_999_999_999_999}})
}

func TestTheFormatStaysWhatItIs(t *testing.T) {
	segmentFile, keys := golden()
	fs := vfs.NewMem()
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"0000000000000007.jnl": segmentFile, "0000000000000001.keys": keys} {
		path := filepath.Join("testdata", "golden", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(data)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.Dump(data); got != string(want) {
			t.Errorf("%s is now\n%swant\n%s", name, got, want)
		}
		put(t, fs, fs.PathJoin(dir, name), data)
	}
	var known []string
	o := options(fs)
	o.Keys = func(k Key, seq uint64, at int64) { known = append(known, fmt.Sprintf("%s %d %d", k[:], seq, at)) }
	j := mustOpen(t, o)
	if want := "[ABCDEFGHIJKLMNOPQRSTUVWX 4 1759999999999999 abcdefghijklmnopqrstuvwx 8 1760000000000000]"; fmt.Sprint(known) != want {
		t.Errorf("keys %v, want %s", known, want)
	}
	if j.ID() != 0x1122334455667788 || j.First() != 7 || j.released != 6 {
		t.Errorf("id %x, first %d, released %d", j.ID(), j.First(), j.released)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	got, _, err := serves(fs, told{released: 7})
	if err != nil || fmt.Sprintf("%q", got) != `["{\"a\":1}\n" "two\n"]` {
		t.Errorf("served %q: %v", got, err)
	}
}

// FuzzFrame gives the decoder of frames any bytes, with marks and checksum made right.
func FuzzFrame(f *testing.F) {
	segmentFile, _ := golden()
	f.Add(segmentFile[segmentHeader:])
	f.Add(segmentFile[segmentHeader : segmentHeader+60])
	f.Fuzz(func(t *testing.T, b []byte) {
		const salt = 7
		if _, ok := parseFrame(b, salt); ok {
			t.Error("any bytes make a frame")
		}
		if len(b) < frameHeader {
			return
		}
		b = bytes.Clone(b)
		binary.LittleEndian.PutUint32(b, frameMagic)
		binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-frameHeader))
		binary.LittleEndian.PutUint64(b[24:], salt)
		binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
		fr, ok := parseFrame(b, salt)
		if !ok {
			return
		}
		again := make([]byte, frameHeader)
		g := groupFrom(&fr, fr.first)
		n := uint32(0)
		for seq, r, ok := g.Next(); ok; seq, r, ok = g.Next() {
			if seq != fr.first+uint64(n) {
				t.Errorf("record %d of a frame that begins with %d has the number %d", n, fr.first, seq)
			}
			n++
			again = appendRecord(again, &r)
		}
		sealFrame(again, &fr, salt)
		if n != fr.count || !bytes.Equal(again, b) {
			t.Errorf("%d of %d records; written again they are %x, were %x", n, fr.count, again, b)
		}
	})
}

// FuzzOpen opens journals of any bytes: it works or says what is damaged.
func FuzzOpen(f *testing.F) {
	segmentFile, keys := golden()
	f.Add(segmentFile, keys)
	f.Add(segmentFile[:segmentHeader], []byte{})
	f.Add(append(bytes.Clone(segmentFile), segmentFile[segmentHeader:]...), keys)
	f.Fuzz(func(t *testing.T, a, k []byte) {
		for _, repaired := range []bool{false, true} {
			fs := vfs.NewMem()
			if err := fs.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if repaired && len(a) >= segmentHeader {
				a = bytes.Clone(a)
				copy(a, segmentFile[:segmentHeader])
			}
			if repaired && len(k) >= 4 {
				k = bytes.Clone(k)
				binary.LittleEndian.PutUint32(k[len(k)-4:], crc32.Checksum(k[:len(k)-4], castagnoli))
			}
			put(t, fs, fs.PathJoin(dir, "0000000000000007.jnl"), a)
			if len(k) > 0 {
				put(t, fs, fs.PathJoin(dir, "0000000000000001.keys"), k)
			}
			j, err := Open(options(fs))
			if err != nil {
				wantCode(t, err, "journal/damaged")
				continue
			}
			next := j.next
			if seq, err := j.Append(record(1)); err != nil || seq != next {
				t.Errorf("record %d: %v", seq, err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
			if j, err = Open(options(fs)); err != nil {
				t.Fatalf("the second start: %v", err)
			}
			if j.next != next+1 {
				t.Errorf("the second start ends with %d, want %d", j.next, next+1)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
