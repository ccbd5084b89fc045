package generate

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/spec"
)

func settings(set map[string]any) *spec.Values {
	m := map[string]spec.Value{}
	for k, v := range set {
		m[k] = spec.Value{V: v, Set: true}
	}
	return spec.NewValues(Registration.Source, diag.Place{}, m)
}

// rowEnv asks for the named columns, or for all.
func rowEnv(rows int, names ...string) connector.SourceEnv {
	env := connector.SourceEnv{Name: "city", Batch: &batch.Schema{Time: -1}, BatchRows: rows, BlockBytes: 4096}
	for _, c := range Registration.SourceSchema(nil) {
		for _, n := range names {
			if n == c.Name {
				env.Columns = append(env.Columns, c)
			}
		}
		if len(names) == 0 {
			env.Columns = append(env.Columns, c)
		}
	}
	for i, c := range env.Columns {
		if c.Kind == batch.Timestamp {
			env.Batch.Time = i
		}
		env.Batch.Fields = append(env.Batch.Fields, batch.Field{Name: c.Name, Kind: c.Kind})
	}
	return env
}

// textEnv names a format by its declaration and its frame; no decoder is needed to write.
func textEnv(name string, frame func(*spec.Values, codec.Limits) codec.Frame) connector.SourceEnv {
	return connector.SourceEnv{Name: "city", BlockBytes: 4096, BatchRows: 64, Format: &codec.Format{Decl: &spec.Decl{Name: name}, Frame: frame}}
}

func open(t *testing.T, set map[string]any, env connector.SourceEnv, at connector.Position) (connector.Source, connector.SplitReader) {
	t.Helper()
	// A thread that sleeps would not move the clock of synctest.
	s, err := newSource(settings(set), env, time.Now, func(d time.Duration) { <-time.After(d) })
	if err != nil {
		t.Fatal(err)
	}
	splits, err := s.Splits(t.Context())
	if err != nil || len(splits) != 1 {
		t.Fatalf("splits %v, %v", splits, err)
	}
	r, err := s.Open(t.Context(), splits[0], at)
	if err != nil {
		t.Fatal(err)
	}
	return s, r
}

// text writes a block as one line a row.
func text(b *connector.Block) string {
	if b.Rows == nil {
		return string(b.Data)
	}
	defer b.Rows.Release()
	var out []byte
	for i := range b.Rows.Len() {
		row := map[string]any{}
		for c, f := range b.Rows.Schema().Fields {
			col := b.Rows.Col(c)
			switch f.Kind {
			case batch.String:
				row[f.Name] = string(col.Bytes(i))
			case batch.Float64:
				row[f.Name] = col.Float64s()[i]
			case batch.Int64:
				row[f.Name] = col.Int64s()[i]
			case batch.Timestamp:
				row[f.Name] = col.Int64s()[i] / 1000
			case batch.Bool:
				row[f.Name] = col.Bool(i)
			}
		}
		line, _ := json.Marshal(row)
		out = append(append(out, line...), '\n')
	}
	return string(out)
}

// drain polls to the end; the blocks come back as text, each with the position behind it.
func drain(t *testing.T, r connector.SplitReader) (blocks []string, at []connector.Position) {
	t.Helper()
	var b connector.Block
	for {
		err := r.Poll(t.Context(), &b)
		if errors.Is(err, io.EOF) {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			return blocks, at
		}
		if err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, text(&b))
		at = append(at, r.Position())
	}
}

func noLeak(t *testing.T) {
	before := batch.Live()
	t.Cleanup(func() {
		if n := batch.Live(); n != before {
			t.Errorf("%d batches leaked", n-before)
		}
	})
}

var special = map[string]any{"rate": int64(0), "events": int64(1000), "late": 0.1, "anomalies": 0.1, "devices": int64(50), "labels": true}

func TestColumnsHoldWhatTheJSONLinesSay(t *testing.T) {
	noLeak(t)
	_, r := open(t, special, rowEnv(64), nil)
	rows, _ := drain(t, r)
	_, r = open(t, special, textEnv("json", nil), nil)
	lines, _ := drain(t, r)
	a, b := strings.Split(strings.Join(rows, ""), "\n"), strings.Split(strings.Join(lines, ""), "\n")
	if len(a) != 1001 || len(b) != 1001 {
		t.Fatalf("%d rows, %d lines", len(a)-1, len(b)-1)
	}
	for i := range a[:1000] {
		var x, y map[string]any
		if json.Unmarshal([]byte(a[i]), &x) != nil || json.Unmarshal([]byte(b[i]), &y) != nil {
			t.Fatalf("no JSON: %s, %s", a[i], b[i])
		}
		p, _ := json.Marshal(x)
		q, _ := json.Marshal(y)
		if !bytes.Equal(p, q) {
			t.Fatalf("event %d: columns %s, bytes %s", i, p, q)
		}
	}
}

func TestOnlyTheNeededColumnsAreFilled(t *testing.T) {
	noLeak(t)
	_, r := open(t, special, rowEnv(64, "ts", "temperature"), nil)
	blocks, _ := drain(t, r)
	if n := strings.Count(blocks[0], `"ts"`); n != 64 || strings.Contains(blocks[0], "device_id") {
		t.Errorf("first block: %s", blocks[0])
	}
	env := rowEnv(64)
	env.Columns[0].Name = "colour"
	if _, err := Registration.NewSource(settings(nil), env); err == nil {
		t.Error("an unknown column was accepted")
	}
	env = rowEnv(64)
	env.Columns = env.Columns[1:]
	if _, err := Registration.NewSource(settings(nil), env); err == nil {
		t.Error("columns that do not match the batch were accepted")
	}
}

func TestResumingFromAnyPositionGivesTheSameBlocks(t *testing.T) {
	noLeak(t)
	for name, env := range map[string]connector.SourceEnv{"rows": rowEnv(77), "json": textEnv("json", nil)} {
		t.Run(name, func(t *testing.T) {
			_, r := open(t, special, env, nil)
			blocks, at := drain(t, r)
			for i := range at {
				_, r := open(t, special, env, at[i])
				rest, _ := drain(t, r)
				if got, want := strings.Join(rest, "|"), strings.Join(blocks[i+1:], "|"); got != want {
					t.Fatalf("resumed behind block %d: other blocks", i)
				}
			}
		})
	}
}

func TestForeignPositionsAreRefused(t *testing.T) {
	s, err := Registration.NewSource(settings(nil), rowEnv(10))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"", "x", "\x02................", "\x01................", "\x01\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if _, err := s.Open(t.Context(), connector.Split{ID: "events"}, connector.Position(p)); err == nil {
			t.Errorf("position %q was accepted", p)
		}
	}
	if _, err := s.Open(t.Context(), connector.Split{ID: "other"}, nil); err == nil {
		t.Error("a foreign split was accepted")
	}
}

func TestCSVBlocksCarryTheHeaderAsPreamble(t *testing.T) {
	frame := func(*spec.Values, codec.Limits) codec.Frame {
		return codec.Frame{Preamble: func(b []byte) int { return bytes.IndexByte(b, '\n') + 1 }}
	}
	_, r := open(t, special, textEnv("csv", frame), nil)
	var b connector.Block
	for range 2 {
		if err := r.Poll(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		table, err := csv.NewReader(bytes.NewReader(append(bytes.Clone(b.Preamble), b.Data...))).ReadAll()
		if err != nil || table[0][6] != "anomaly" || len(table) != 4096/124+1 {
			t.Fatalf("%d lines, first %v, %v", len(table), table[0], err)
		}
		if cap(b.Data)-len(b.Data) < codec.Pad {
			t.Error("no pad behind the block")
		}
	}
	_, r = open(t, special, textEnv("csv", nil), nil)
	if err := r.Poll(t.Context(), &b); err != nil || b.Preamble != nil {
		t.Errorf("a header for a format without one: %q, %v", b.Preamble, err)
	}
	if _, err := Registration.NewSource(settings(nil), textEnv("avro", nil)); err == nil {
		t.Error("a format that cannot be written was accepted")
	}
}

// The schedule under a clock that only waiting moves: every block leaves in the
// instant at which its last event is due.
func TestEventsLeaveWhenTheyAreDue(t *testing.T) {
	noLeak(t)
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		set := map[string]any{"rate": int64(10_000), "events": int64(5000), "disorder": time.Duration(0)}
		s, r := open(t, set, rowEnv(1024), nil)
		var b connector.Block
		events := 0
		for {
			err := r.Poll(t.Context(), &b)
			if errors.Is(err, io.EOF) {
				break
			}
			if errors.Is(err, connector.ErrNoData) {
				if err := s.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			last := b.Rows.Times()[b.Rows.Len()-1]
			events += b.Rows.Len()
			due := begin.Add(time.Duration(events-1) * time.Second / 10_000)
			if !time.Now().Equal(due) || last != due.UnixMilli()*1000 || b.Rows.Len() != 2 {
				t.Fatalf("event %d of a block of %d left at %v with time %d, due at %v", events, b.Rows.Len(), time.Now(), last, due)
			}
			b.Rows.Release()
		}
		if events != 5000 || time.Since(begin) > 2*time.Second {
			t.Errorf("%d events in %v", events, time.Since(begin))
		}
	})
}

func TestASlowPipelineGetsWhatIsDueInABurstAndTheLagIsCounted(t *testing.T) {
	noLeak(t)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		env := rowEnv(1024)
		env.Log = slog.New(slog.NewTextHandler(&log, nil))
		s, r := open(t, map[string]any{"rate": int64(1000)}, env, nil)
		wait(t, 3*time.Second)
		var b connector.Block
		n := 0
		for ; ; n++ {
			if err := r.Poll(t.Context(), &b); err != nil {
				if !errors.Is(err, connector.ErrNoData) {
					t.Fatal(err)
				}
				break
			}
			b.Rows.Release()
		}
		if n != 3001 {
			t.Errorf("%d events at once after 3 s, want 3001", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("wait with an ended context: %v", err)
		}
		if err := errors.Join(r.Close(), r.Close(), s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if strings.Count(log.String(), "lag_max=3s") != 1 || !strings.Contains(log.String(), "events=3001") {
			t.Errorf("log: %s", log.String())
		}
	})
}

func TestALiveSplitResumesItsScheduleAndCatchesUp(t *testing.T) {
	noLeak(t)
	synctest.Test(t, func(t *testing.T) {
		set := map[string]any{"rate": int64(1000), "disorder": time.Duration(0)}
		begin := time.Now()
		_, r := open(t, set, rowEnv(1024), nil)
		var b connector.Block
		if err := r.Poll(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		b.Rows.Release()
		at := r.Position()
		wait(t, 100*time.Millisecond)
		_, r = open(t, set, rowEnv(1024), at)
		for i := 1; i <= 100; i++ {
			if err := r.Poll(t.Context(), &b); err != nil {
				t.Fatal(err)
			}
			if want := begin.UnixMilli() + int64(i); b.Rows.Times()[0] != want*1000 {
				t.Fatalf("event %d has time %d, want %d", i, b.Rows.Times()[0], want)
			}
			b.Rows.Release()
		}
		if err := r.Poll(t.Context(), &b); !errors.Is(err, connector.ErrNoData) {
			t.Errorf("event 101 came early: %v", err)
		}
		// With a fixed start there is nothing to catch up with.
		set["start"] = "2020-02-02T00:00:00Z"
		_, r = open(t, set, rowEnv(1024), at)
		if err := r.Poll(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		if want := time.Date(2020, 2, 2, 0, 0, 0, 1e6, time.UTC).UnixMicro(); b.Rows.Times()[0] != want {
			t.Errorf("time %d, want %d", b.Rows.Times()[0], want)
		}
		b.Rows.Release()
		if err := r.Poll(t.Context(), &b); !errors.Is(err, connector.ErrNoData) {
			t.Errorf("a burst with a fixed start: %v", err)
		}
	})
}

// wait moves the clock of the bubble.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	<-time.After(d)
}

func TestBadSettingsAreRefusedWithTheirPlace(t *testing.T) {
	if _, err := Registration.NewSource(settings(map[string]any{"start": "yesterday"}), rowEnv(1)); err == nil || !strings.Contains(err.Error(), "yesterday") {
		t.Errorf("got %v", err)
	}
	if _, err := Registration.NewSource(settings(map[string]any{"late": 2.0}), rowEnv(1)); err == nil {
		t.Error("a share of 2 was accepted")
	}
}

func TestFillingColumnsDoesNotAllocatePerRow(t *testing.T) {
	s, r := open(t, map[string]any{"rate": int64(0), "distribution": "zipf"}, rowEnv(4096), nil)
	var b connector.Block
	if n := testing.AllocsPerRun(20, func() {
		if err := r.Poll(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		b.Rows.Release()
	}); n > 4 { // the place, for people
		t.Errorf("%v allocations a block", n)
	}
	_ = s.Close()
}

func BenchmarkPoll(b *testing.B) {
	for name, env := range map[string]connector.SourceEnv{"rows": rowEnv(4096), "json": textEnv("json", nil)} {
		env.BlockBytes = 256 << 10
		b.Run(name, func(b *testing.B) {
			s, err := Registration.NewSource(settings(map[string]any{"rate": int64(0), "devices": int64(500_000)}), env)
			if err != nil {
				b.Fatal(err)
			}
			r, err := s.Open(b.Context(), connector.Split{ID: splitID}, nil)
			if err != nil {
				b.Fatal(err)
			}
			var blk connector.Block
			for b.Loop() {
				if err := r.Poll(b.Context(), &blk); err != nil {
					b.Fatal(err)
				}
				if blk.Rows != nil {
					blk.Rows.Release()
				}
			}
			b.ReportMetric(float64(r.(*reader).next)/b.Elapsed().Seconds()/1e6, "Mev/s")
		})
	}
}

func TestTheSourceFollowsTheContract(t *testing.T) {
	for name, env := range map[string]connector.SourceEnv{"rows": rowEnv(64), "json": textEnv("json", nil)} {
		for kind, set := range map[string]map[string]any{
			"bounded":   special,
			"unbounded": {"rate": int64(0), "late": 0.1},
			"paced":     {"rate": int64(1_000_000_000), "events": int64(2000), "start": "2020-02-02T00:00:00Z"},
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				connectortest.Source(t, connectortest.SourceCase{New: func(t testing.TB) connector.Source {
					s, err := Registration.NewSource(settings(set), env)
					if err != nil {
						t.Fatal(err)
					}
					return s
				}})
			})
		}
	}
}
