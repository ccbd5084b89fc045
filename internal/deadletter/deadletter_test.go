package deadletter

import (
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
)

func TestAppendKeepsEveryFieldAndMakesEmptyOptionalOnesNull(t *testing.T) {
	before := batch.Live()
	b := Pool.Get()
	Append(b, &Letter{Step: "readings", Code: "syntax", Reason: "a comma is missing", Position: "file.ndjson:12", Payload: []byte(`{"a" 1}`)})
	Append(b, &Letter{Step: "score", Code: "exception", Reason: "division by zero", Column: "x", Detail: "Traceback", Payload: nil})

	if b.Len() != 2 {
		t.Fatalf("%d rows, want 2", b.Len())
	}
	want := [2][7]string{
		{"readings", "syntax", "a comma is missing", "", "file.ndjson:12", "", `{"a" 1}`},
		{"score", "exception", "division by zero", "x", "", "Traceback", ""},
	}
	for row := range want {
		for col, text := range want[row] {
			c := b.Col(col)
			if got := string(c.Bytes(row)); got != text {
				t.Errorf("row %d, column %s: %q, want %q", row, Schema.Fields[col].Name, got, text)
			}
			if null := text == "" && Schema.Fields[col].Nullable; c.IsNull(row) != null {
				t.Errorf("row %d, column %s: null is %v, want %v", row, Schema.Fields[col].Name, c.IsNull(row), null)
			}
		}
	}
	b.Release()
	if live := batch.Live(); live != before {
		t.Errorf("%d batches live, want %d", live, before)
	}
}
