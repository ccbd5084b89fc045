package null

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/connector/connectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRowsAreCountedAndDropped(t *testing.T) {
	connectortest.Sink(t, connectortest.SinkCase{
		Schema: &batch.Schema{Time: -1, Fields: []batch.Field{{Name: "a", Kind: batch.Int64}}},
		New: func(t testing.TB) (connector.SinkWriter, func() string) {
			var log bytes.Buffer
			w, err := Registration.NewSink(nil, connector.SinkEnv{Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
			if err != nil {
				t.Fatal(err)
			}
			return w, func() string { return log.String()[strings.Index(log.String(), "msg="):] }
		},
		Want: func(n int) string { return fmt.Sprintf("msg=\"rows dropped\" rows=%d\n", n) },
	})
}
