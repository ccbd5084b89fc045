package csv

import (
	"fmt"
	"os"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := batch.Live(); n != 0 {
		fmt.Fprintf(os.Stderr, "%d batches leaked\n", n)
		code = 1
	}
	os.Exit(code)
}
