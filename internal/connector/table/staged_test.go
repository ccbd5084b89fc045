package table

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
)

// someMark has a different value in every field.
var someMark = mark{table: 3, epoch: 41, before: 39, stage: 40, task: 1, cut: 1<<63 + 5, runs: []uint32{2, 300}, rows: 12_345, bytes: 678_901, sum: 0xDEADBEEF}

func someChunk() []byte {
	p := []byte{chunkVersion}
	for _, r := range []struct{ device, value string }{{"a", "\x01\x00"}, {"b", ""}} {
		key := append(appendEscaped(append(appendPrefix(nil, 3, 1<<63), tagValue), []byte(r.device)), 0)
		p = appendChunkRow(p, key, []byte(r.value))
	}
	return binary.LittleEndian.AppendUint32(p, crc32.Checksum(p, castagnoli))
}

// TestTheFormatsOfEpochsStay compares bytes with those that a store may hold already.
func TestTheFormatsOfEpochsStay(t *testing.T) {
	got := fmt.Sprintf("mark %x\nchunk %x\napplied %x=%x\nstaged %x\n", someMark.marshal(), someChunk(),
		epochKey(tagApplied, 3), appliedValue(41), stagedKey(3, 40, 1, 7))
	want, err := os.ReadFile("testdata/epochs.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestMarksAndChunksAreReadBack(t *testing.T) {
	m, err := parseMark(someMark.marshal())
	if err != nil || !reflect.DeepEqual(*m, someMark) {
		t.Fatal(m, err)
	}
	left, _, err := openChunk(someChunk())
	for i := 0; err == nil && len(left) > 0; i++ {
		var key []byte
		if key, _, left, err = cutChunkRow(left, 3); err == nil && key[prefixLen+1] != "ab"[i] {
			t.Errorf("row %d is %q", i, key)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, _, err := openChunk(someChunk())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := cutChunkRow(rows, 4); err == nil {
		t.Error("a row of another table was taken")
	}
}

// Every changed byte of what a checkpoint or a staged record holds is noticed.
func TestDamagedBytesOfEpochsAreNoticed(t *testing.T) {
	for i := range someMark.marshal() {
		p := someMark.marshal()
		p[i] ^= 0x10
		if _, err := parseMark(p); err == nil {
			t.Errorf("byte %d of a mark", i)
		}
		if _, err := parseMark(p[:i]); err == nil {
			t.Errorf("%d bytes of a mark", i)
		}
	}
	for i := range someChunk() {
		p := someChunk()
		p[i] ^= 0x10
		if _, _, err := openChunk(p); err == nil {
			t.Errorf("byte %d of a chunk", i)
		}
	}
}

func FuzzMark(f *testing.F) {
	f.Add(someMark.marshal())
	f.Fuzz(func(t *testing.T, p []byte) {
		// With a right checksum the bytes get further.
		for _, p := range [][]byte{p, binary.LittleEndian.AppendUint32(slices.Clone(p), crc32.Checksum(p, castagnoli))} {
			m, err := parseMark(p)
			if err != nil {
				continue
			}
			if again, err := parseMark(m.marshal()); err != nil || !reflect.DeepEqual(m, again) {
				t.Errorf("%x: %+v, then %+v, %v", p, m, again, err)
			}
		}
	})
}

func FuzzChunk(f *testing.F) {
	f.Add(someChunk())
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, p := range [][]byte{p, binary.LittleEndian.AppendUint32(slices.Clone(p), crc32.Checksum(p, castagnoli))} {
			left, _, err := openChunk(p)
			for err == nil && len(left) > 0 {
				var key []byte
				if key, _, left, err = cutChunkRow(left, 3); err == nil && binary.BigEndian.Uint32(key) != 3 {
					t.Errorf("a row of table %x", key)
				}
			}
		}
	})
}

// sinkAt is a table over files that has been told to recover.
func sinkAt(t *testing.T, files vfs.FS, last uint64, c ...connector.Committable) (*epochSink, error) {
	t.Helper()
	s := newSinkOver(t, files, "t", small)
	return s, s.Recover(t.Context(), last, c)
}

// through runs epochs from first to last with a row each and returns the last committable.
func through(t *testing.T, s *epochSink, first, last uint64, commit bool) (c connector.Committable) {
	t.Helper()
	w, err := s.Writer(t.Context(), connector.WriterEnv{})
	if err != nil {
		t.Fatal(err)
	}
	pool := batch.NewPool(readings, 1)
	for id := first; id <= last; id++ {
		if err := w.Write(t.Context(), fill(pool.Get(), []reading{{fmt.Sprint("dev-", id), 0, 1, int64(id)}})); err != nil {
			t.Fatal(err)
		}
		p, err := w.Prepare(t.Context(), connector.Epoch{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if c, err = p.Persist(t.Context()); err != nil {
			t.Fatal(err)
		}
		if commit || id < last {
			if err := s.Commit(t.Context(), id, []connector.Committable{c}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

func closed(t *testing.T, s *epochSink) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreThatDoesNotFitTheCheckpointIsRefused(t *testing.T) {
	files := vfs.NewMem()
	connectortest.MakeDir(t, files, absolute(t))
	s, err := sinkAt(t, files, 0)
	if err != nil {
		t.Fatal(err)
	}
	c3 := through(t, s, 1, 3, true)
	c6 := through(t, s, 5, 6, false)
	closed(t, s)
	m := func(c connector.Committable, change func(m *mark)) connector.Committable {
		x, err := parseMark(c)
		if err != nil {
			t.Fatal(err)
		}
		change(x)
		return x.marshal()
	}
	before := visible(t, files, "t") // epochs 1, 2, 3, 5; 6 is staged
	for _, x := range []struct {
		what string
		last uint64
		c    []connector.Committable
		code diag.Code
		text string
	}{
		{"a checkpoint older than the table", 3, []connector.Committable{c3}, "table/ahead", "holds epoch 5, the checkpoint ends with epoch 3"},
		{"the same without rows", 4, nil, "table/ahead", "epoch 5"},
		{"the checkpoint of another history", 9, []connector.Committable{m(c6, func(m *mark) { m.before, m.epoch, m.stage = 4, 9, 5 })}, "table/ahead", ""},
		{"the table lost epochs", 9, []connector.Committable{m(c6, func(m *mark) { m.before, m.epoch = 8, 9 })}, "table/rows-lost", "stands on its epoch 8"},
		{"no rows, but the table lost epochs", 9, []connector.Committable{m(c6, func(m *mark) { m.before, m.epoch, m.runs = 8, 9, nil })}, "table/rows-lost", ""},
		{"staged rows are missing", 6, []connector.Committable{m(c6, func(m *mark) { m.stage = 2 })}, "table/rows-lost", "1 rows of epoch 6"},
		{"a part is missing", 6, []connector.Committable{m(c6, func(m *mark) { m.runs = []uint32{1, 1} })}, "table/rows-lost", ""},
		{"other rows are staged", 6, []connector.Committable{m(c6, func(m *mark) { m.sum++ })}, "table/rows-lost", "checksum"},
		{"another table", 6, []connector.Committable{m(c6, func(m *mark) { m.table++ })}, "table/other-checkpoint", ""},
		{"no committable", 6, []connector.Committable{connector.Committable("holiday")}, "table/other-checkpoint", ""},
	} {
		s, err := sinkAt(t, files, x.last, x.c...)
		wantCode(t, err, x.code)
		if text := diag.Format(err); !strings.Contains(text, x.text) || !strings.Contains(text, "--fresh") || !strings.Contains(text, absolute(t)) {
			t.Errorf("%s: %s", x.what, text)
		}
		closed(t, s)
		if got := visible(t, files, "t"); !slices.Equal(got, before) {
			t.Errorf("%s changed the table: %v", x.what, got)
		}
	}
	// What was refused can still be recovered by the right one, and started anew.
	if s, err = sinkAt(t, files, 6, c6); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	want := append(before, "dev-6/0=6")
	if got := visible(t, files, "t"); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if s, err = sinkAt(t, files, 0); err != nil {
		t.Fatal(err)
	}
	through(t, s, 2, 2, true) // smaller than what was applied before
	closed(t, s)
	if got := visible(t, files, "t"); !slices.Equal(got, want) {
		t.Errorf("a new run: %v, want %v", got, want)
	}
}

func TestANewRunBeginsWhereTheOldOneWasCommitted(t *testing.T) {
	files, mux := vfs.NewMem(), http.NewServeMux()
	connectortest.MakeDir(t, files, absolute(t))
	s, err := sinkAt(t, files, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := through(t, s, 1, 3, false)
	closed(t, s)
	if s, err = sinkAt(t, files, 3, c); err != nil {
		t.Fatal(err)
	}
	s.list = lister(mux, s.table)
	if err := s.Recover(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	c = through(t, s, 9, 9, false)
	closed(t, s)
	if code, body := ask(t, mux, "/v1/tables/t"); code != 404 {
		t.Errorf("behind Close: %d %s", code, body)
	}
	if s, err = sinkAt(t, files, 9, c); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if got := fmt.Sprint(visible(t, files, "t")); got != "[dev-1/0=1 dev-2/0=2 dev-3/0=3 dev-9/0=9]" {
		t.Error(got)
	}
}

func TestATableIsReadFromRecoverOn(t *testing.T) {
	files, mux := vfs.NewMem(), http.NewServeMux()
	connectortest.MakeDir(t, files, absolute(t))
	s, err := sinkAt(t, files, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := through(t, s, 1, 2, false)
	closed(t, s)
	x, err := Registration.NewEpochSink(settings(byDevice, 0), connector.SinkEnv{Name: "t", Schema: readings, DataDir: "data", FS: files, HTTP: mux})
	if err != nil {
		t.Fatal(err)
	}
	if code, body := ask(t, mux, "/v1/tables/t"); code != 404 {
		t.Errorf("before Recover: %d %s", code, body)
	}
	if err := x.Recover(t.Context(), 2, []connector.Committable{c}); err != nil {
		t.Fatal(err)
	}
	if got := short(all(t, mux, "/v1/tables/t?limit=5")); got != "dev-1/0 dev-2/0" {
		t.Error(got)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if code, body := ask(t, mux, "/v1/tables/t"); code != 404 {
		t.Errorf("behind Close: %d %s", code, body)
	}
}

func TestRetainDropsOldBucketsWithTheEpoch(t *testing.T) {
	files := vfs.NewMem()
	connectortest.MakeDir(t, files, absolute(t))
	open := func() *epochSink {
		x, err := Registration.NewEpochSink(settings(byDevice, 30*time.Second), connector.SinkEnv{Name: "t", Schema: readings, DataDir: "data", FS: files})
		if err != nil {
			t.Fatal(err)
		}
		s := x.(*epochSink)
		s.table.store.now = func() time.Time { return time.Unix(1<<40, 0) }
		return s
	}
	s := open()
	if err := s.Recover(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	pool := batch.NewPool(readings, 10)
	w, err := s.Writer(t.Context(), connector.WriterEnv{})
	if err != nil {
		t.Fatal(err)
	}
	if err := runEpoch(w, s, pool, 1, []reading{{"a", 1 * second, 1, 1}, {"b", 40 * second, 1, 1}, {"", 9 * second, 1, 1}}); err != nil {
		t.Fatal(err)
	}
	if got := scanAll(t, s.table); len(got) != 1 || s.table.expired.Load() != 2 {
		t.Errorf("%v, %d expired", got, s.table.expired.Load())
	}
	if err := runEpoch(w, s, pool, 2, []reading{{"c", 60 * second, 1, 1}}); err != nil {
		t.Fatal(err)
	}
	if got := scanAll(t, s.table); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if err := w.Write(t.Context(), fill(pool.Get(), []reading{{"d", 100 * second, 1, 1}, {"old", 39 * second, 1, 1}, {"edge", 70 * second, 1, 1}})); err != nil {
		t.Fatal(err)
	}
	p, err := w.Prepare(t.Context(), connector.Epoch{ID: 3})
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Persist(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := scanAll(t, s.table); len(got) != 2 {
		t.Errorf("buckets went before the decision: %v", got)
	}
	closed(t, s)
	s = open()
	if err := s.Recover(t.Context(), 3, []connector.Committable{c}); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(scanAll(t, s.table)); got != "[edge/70000000=1 d/100000000=1]" {
		t.Error(got)
	}
	if s.table.keepFrom(0) != bucketOf(70*second, s.table.def.Width) {
		t.Error("the table does not remember how far it is")
	}
	closed(t, s)
}

// An epoch with more rows than fit into memory is complete and in order, and of
// equal keys the last row counts, whichever run it is in.
func TestALargeEpochIsAppliedWhole(t *testing.T) {
	files := vfs.NewMem()
	connectortest.MakeDir(t, files, absolute(t))
	s := newSinkOver(t, files, "t", sizes{gather: 100 << 10, chunk: 10 << 10, batch: 300 << 10, file: 200 << 10})
	if err := s.Recover(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	w, err := s.Writer(t.Context(), connector.WriterEnv{})
	if err != nil {
		t.Fatal(err)
	}
	pool := batch.NewPool(readings, 1000)
	for i, n := range []int{40_000, 3000, 40_000} {
		epoch := i + 1
		rows := make([]reading, n)
		for i := range rows {
			rows[i] = reading{fmt.Sprintf("dev-%05d", i*7919%30_000), 0, float64(epoch), int64(epoch*100_000 + i)}
		}
		if err := runEpoch(w, s, pool, uint64(epoch), rows); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, r := range rows {
			want[r.device] = fmt.Sprintf("%s/0=%d", r.device, r.n)
		}
		got := scanAll(t, s.table)
		if epoch != 2 && len(got) != 30_000 {
			t.Fatalf("%d rows behind epoch %d", len(got), epoch)
		}
		for _, row := range got {
			if x, ok := want[strings.TrimSuffix(row, row[strings.Index(row, "/"):])]; ok && x != row {
				t.Fatalf("epoch %d: %s, want %s", epoch, row, x)
			}
		}
	}
	if n := entries(t, s.table.store, tagStaged); n > 0 {
		t.Errorf("%d staged records are left", n)
	}
	if names, err := files.List(s.filesDir()); err != nil || len(names) > 0 {
		t.Error("files are left: ", names, err)
	}
	closed(t, s)
}

// A read that runs beside commits sees one epoch, never a part of one.
func TestAReadSeesWholeEpochs(t *testing.T) {
	files := vfs.NewMem()
	connectortest.MakeDir(t, files, absolute(t))
	s := newSinkOver(t, files, "t", sizes{gather: 8 << 10, chunk: 2 << 10, batch: 16 << 10, file: 8 << 10})
	if err := s.Recover(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	w, err := s.Writer(t.Context(), connector.WriterEnv{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		pool := batch.NewPool(readings, 1000)
		var err error
		for epoch := uint64(1); err == nil && epoch <= 40; epoch++ {
			rows := make([]reading, 200+epoch%2*600) // every other one is too large for a batch
			for i := range rows {
				rows[i] = reading{fmt.Sprintf("dev-%03d", i%200), 0, 1, int64(epoch)}
			}
			err = runEpoch(w, s, pool, epoch, rows)
		}
		done <- err
	}()
	for reads := 0; ; reads++ {
		got := scanAll(t, s.table)
		if n := len(got); n != 0 && n != 200 {
			t.Fatalf("%d rows", n)
		}
		for i, row := range got {
			if _, epoch, _ := strings.Cut(row, "="); !strings.HasSuffix(got[0], "="+epoch) {
				t.Fatalf("row %d is %s, the first %s", i, row, got[0])
			}
		}
		select {
		case err := <-done:
			if err != nil || reads < 2 {
				t.Fatal(reads, err)
			}
			closed(t, s)
			return
		default:
		}
	}
}

// What an earlier engine left in the middle of an application goes.
func TestLeftFilesAreRemoved(t *testing.T) {
	files := vfs.NewMem()
	connectortest.MakeDir(t, files, absolute(t))
	s := newSinkOver(t, files, "t", small)
	connectortest.MakeDir(t, files, s.filesDir())
	f, err := files.Create(files.PathJoin(s.filesDir(), "7-0.sst"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.table.store.db.Set(stagedKey(s.table.def.ID, 9, 0, 0), []byte("left"), pebble.Sync); err != nil {
		t.Fatal(err)
	}
	if err := s.Recover(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Stat(s.filesDir()); err == nil {
		t.Error("files are left")
	}
	if n := entries(t, s.table.store, tagStaged); n > 0 {
		t.Error("staged records are left")
	}
	closed(t, s)
}
