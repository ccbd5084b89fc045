package job

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/connector"
	"github.com/gorge-stream/gorge/internal/testkit"
)

// stuck is a sink that takes a batch only when its context ends.
type stuck struct{}

func (stuck) Write(ctx context.Context, b *batch.Batch) error {
	defer b.Release()
	<-ctx.Done()
	return ctx.Err()
}

func (stuck) Flush(context.Context) error { return nil }
func (stuck) Prepare(context.Context, connector.Epoch) (connector.Prepared, error) {
	return nil, nil
}
func (stuck) Close(context.Context, bool) error { return nil }

// TestAStuckDeadLetterSinkDoesNotHoldAJobThatEnds: a sink gives a dead letter to
// a sink that does not take it; the end of the job's context must get through.
func TestAStuckDeadLetterSinkDoesNotHoldAJobThatEnds(t *testing.T) {
	testkit.CheckLive(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := &deadLetters{ctx: ctx, open: func() (connector.SinkWriter, error) { return stuck{}, nil }}
		done := make(chan struct{})
		go func() {
			d.letter("step", "refused", "the receiver said no", "", []byte("{}"))
			close(done)
		}()
		synctest.Wait()
		cancel()
		<-done
		if err := d.close(ctx, false); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}
