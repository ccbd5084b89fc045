package plan

import (
	"fmt"
	"os"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

func TestMain(m *testing.M) {
	before := batch.Live()
	code := m.Run()
	if n := batch.Live() - before; n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d batches were not released\n", n)
		code = 1
	}
	os.Exit(code)
}
