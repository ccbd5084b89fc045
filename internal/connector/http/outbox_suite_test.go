package httpio

import (
	"bytes"
	"context"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
	"github.com/gorge-stream/gorge/internal/diag"
)

// mailbox is a receiver that drops repetitions. What it has taken is in a file per
// key on the disk of the simulation, below all faults: it outlives the engine, and
// is in every copy of the disk.
type mailbox struct {
	fs vfs.FS

	mu    sync.Mutex
	wrong []string
}

const mailboxDir = "/receiver"

func newMailbox(t testing.TB, fs vfs.FS) *mailbox {
	if below := fs.Unwrap(); below != nil {
		fs = below
	}
	if _, err := fs.Stat(mailboxDir); err != nil {
		connectortest.MakeDir(t, fs, mailboxDir)
	}
	return &mailbox{fs: fs}
}

// rowsOfBody returns the rows of a body, nil when it is not whole.
func rowsOfBody(body []byte) []string {
	var rows []stdjson.RawMessage
	if stdjson.Unmarshal(body, &rows) != nil {
		d := stdjson.NewDecoder(bytes.NewReader(body))
		rows = nil
		for {
			var row stdjson.RawMessage
			if err := d.Decode(&row); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil
			}
			rows = append(rows, row)
		}
	}
	var out []string
	for _, r := range rows {
		out = append(out, string(r))
	}
	return out
}

func (m *mailbox) read(key string) []byte {
	f, err := m.fs.Open(mailboxDir + "/" + key)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, _ := io.ReadAll(f)
	return b
}

func (m *mailbox) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	key := r.Header.Get("Idempotency-Key")
	if had := m.read(key); rowsOfBody(had) == nil { // a copy of the disk may have a part of a body that was never answered
		f, err := m.fs.Create(mailboxDir+"/"+key, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write(bytes.Clone(body))
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if dir, derr := m.fs.OpenDir(mailboxDir); derr == nil {
			err = errors.Join(err, dir.Sync(), dir.Close())
		}
		if err != nil {
			return nil, err
		}
	} else if !bytes.Equal(had, body) {
		m.wrong = append(m.wrong, fmt.Sprintf("the key %s came with %.100q and with %.100q", key, had, body))
	}
	return &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// rows returns all rows that were taken.
func (m *mailbox) rows(t testing.TB) []string {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.wrong {
		t.Fatal(w)
	}
	names, err := m.fs.List(mailboxDir)
	must(t, err)
	var out []string
	for _, n := range names {
		out = append(out, rowsOfBody(m.read(n))...)
	}
	return out
}

// settling is an outbox whose Commit and Recover wait for the receiver, so that a
// test sees what they have set off.
type settling struct{ *outbox }

func (s settling) settle(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	return s.await(ctx, nil, s.idle)
}

func (s settling) Recover(ctx context.Context, last uint64, c []connector.Committable) error {
	return s.settle(ctx, s.outbox.Recover(ctx, last, c))
}

func (s settling) Commit(ctx context.Context, epoch uint64, c []connector.Committable) error {
	return s.settle(ctx, s.outbox.Commit(ctx, epoch, c))
}

// testOutbox makes an outbox on a disk that sends to rt.
func testOutbox(t testing.TB, fs vfs.FS, rt http.RoundTripper, set map[string]any) *outbox {
	t.Helper()
	all := map[string]any{"url": "http://alerts.example/secret?token=7"}
	for k, v := range set {
		all[k] = v
	}
	env := sinkEnv(&sinkUnderTest{})
	env.Dead, env.FS, env.DataDir, env.Log = nil, fs, "/data/p", slog.New(slog.DiscardHandler)
	s, err := newOutbox(values(Registration.Sink, all), env, rt)
	must(t, err)
	s.jitter = func() float64 { return 1 }
	return s
}

func mailboxPlace(set map[string]any) connectortest.Over {
	return func(t testing.TB, fs vfs.FS) connectortest.EpochPlace {
		if _, err := fs.Stat("/data"); err != nil {
			connectortest.MakeDir(t, fs, "/data")
		}
		m := newMailbox(t, fs)
		return connectortest.EpochPlace{
			Sink: func(t testing.TB) connector.Sink { return settling{testOutbox(t, fs, m, set)} },
			Rows: m.rows,
		}
	}
}

func outboxCase() connectortest.EpochCase {
	return connectortest.EpochCase{
		Schema: alerts, Row: alertRow, Text: alertJSON,
		New: func(t testing.TB) connectortest.EpochPlace { return mailboxPlace(nil)(t, vfs.NewMem()) },
		Failed: func(t testing.TB, err error) {
			var d *diag.Error
			if !errors.As(err, &d) {
				t.Fatalf("it is no diagnostic: %v", err)
			}
			if strings.Contains(err.Error(), "no space left") && !strings.Contains(d.Hint, "df -h") {
				t.Fatalf("%v: the hint is %q", err, d.Hint)
			}
		},
	}
}

func TestTheOutboxFollowsTheContract(t *testing.T) {
	for name, set := range map[string]map[string]any{
		"a row a request": {},
		"arrays":          {"batch": int64(11)},
		"lines":           {"batch": int64(1000), "body": "lines", "in_flight": int64(1)},
	} {
		t.Run(name, func(t *testing.T) {
			c := outboxCase()
			c.New = func(t testing.TB) connectortest.EpochPlace { return mailboxPlace(set)(t, vfs.NewMem()) }
			connectortest.Epochs(t, c)
		})
	}
}

// manyRows keeps the simulated receiver, which syncs a file for each request, in bounds.
var manyRows = map[string]any{"batch": int64(50)}

func TestOutboxPowerLoss(t *testing.T) {
	connectortest.PowerLoss(t, outboxCase(), mailboxPlace(manyRows))
}

func TestOutboxDiskErrors(t *testing.T) {
	connectortest.DiskErrors(t, outboxCase(), mailboxPlace(manyRows))
}
