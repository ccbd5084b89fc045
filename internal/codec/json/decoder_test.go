package json

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/batch"
	"github.com/gorge-stream/gorge/internal/codec"
	"github.com/gorge-stream/gorge/internal/codec/codectest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if n := batch.Live(); n != 0 && code == 0 {
		fmt.Fprintf(os.Stderr, "%d batches leaked\n", n)
		code = 1
	}
	os.Exit(code)
}

// Lines of every length around the sizes that the scanner and the kernels work in.
func TestLinesOfAnyLengthMeetSegmentsAndGroupsAnywhere(t *testing.T) {
	columns := []codec.Column{{Name: "s", Kind: batch.String}, {Name: "n", Kind: batch.Int64}}
	for _, pad := range []int{0, 1, 5, 40, 63, 64, 65, 100, 1000, 4070, 4096, 5000, 9000} {
		d := newDecoder("lines", columns, codec.Limits{})
		var block []byte
		var want [][]any
		for i := range 600 {
			n := pad + i%7
			if pad > 1000 && i > 40 {
				break
			}
			s := strings.Repeat("x", n)
			if i%5 == 0 {
				s = strings.Repeat("y", i%15)
			}
			block = fmt.Appendf(block, "{\"s\":\"%s\",\"n\":%d}\n", s, i)
			want = append(want, []any{s, int64(i)})
		}
		for _, cut := range []int{0, 1} { // with and without a newline at the end
			for _, capacity := range []int{1, 255, 256, 257, 65_536} {
				rows, bad := codectest.Decode(t, d, columns, block[:len(block)-cut], capacity, '\n')
				if diff := codectest.EqualRows(rows, want); diff != "" || len(bad) > 0 {
					t.Fatalf("length %d, capacity %d, cut %d: %s %v", pad, capacity, cut, diff, len(bad))
				}
			}
		}
	}
}

func TestBlankLinesAreNoRecords(t *testing.T) {
	columns := []codec.Column{{Name: "n", Kind: batch.Int64}}
	d := newDecoder("lines", columns, codec.Limits{})
	block := []byte("\n\n{\"n\":1}\n \t\r\n{\"n\":2}\n\n{\"n\":x}\n\n" + strings.Repeat("{\"n\":3}\n\n", 300) + "  ")
	rows, bad := codectest.Decode(t, d, columns, block, 100, 0)
	if len(rows) != 302 || len(bad) != 1 || bad[0].Line != 7 {
		t.Errorf("%d rows, bad records %v", len(rows), bad)
	}
}

func TestALineIsNeverGluedToTheNext(t *testing.T) {
	columns := []codec.Column{{Name: "s", Kind: batch.String}, {Name: "n", Kind: batch.Int64}}
	line := `{"s":"abc","n":1}`
	for i := range line {
		d := newDecoder("lines", columns, codec.Limits{})
		block := strings.Repeat(line+"\n", 20) + line[:i] + "\n" + line[i:] + "\n" + strings.Repeat(line+"\n", 20)
		rows, _ := codectest.Decode(t, d, columns, []byte(block), 64, 0)
		want := 40
		if i == 0 {
			want = 41 // an empty line and a whole one
		}
		if len(rows) != want {
			t.Errorf("cut at %d: %d rows, want %d", i, len(rows), want)
		}
	}
}

func TestNullsDoNotStayInRowsThatAreUsedAgain(t *testing.T) {
	columns := []codec.Column{{Name: "a", Kind: batch.Int64, Nullable: true}, {Name: "b", Kind: batch.Bool, Nullable: true}, {Name: "c", Kind: batch.Int64}}
	d := newDecoder("lines", columns, codec.Limits{})
	var block []byte
	var want [][]any
	for i := range 3000 {
		switch i % 4 {
		case 0: // null first, then bad: the next record takes its row
			block = append(block, "{\"a\":null,\"b\":null,\"c\":1.5}\n"...)
		case 1:
			block = append(block, "{\"a\":null,\"a\":5,\"b\":true,\"c\":1}\n"...)
			want = append(want, []any{int64(5), true, int64(1)})
		case 2:
			block = append(block, "{\"a\":7,\"c\":2}\n"...)
			want = append(want, []any{int64(7), nil, int64(2)})
		case 3:
			block = append(block, "{\"a\":8,\"b\":false,\"c\":3}\n"...)
			want = append(want, []any{int64(8), false, int64(3)})
		}
	}
	for _, capacity := range []int{1, 64, 1000, 4096} {
		rows, bad := codectest.Decode(t, d, columns, block, capacity, 0)
		if diff := codectest.EqualRows(rows, want); diff != "" || len(bad) != 750 {
			t.Fatalf("capacity %d: %s, %d bad records", capacity, diff, len(bad))
		}
	}
}

func TestAutoRecognisesTheLayout(t *testing.T) {
	columns := []codec.Column{{Name: "n", Kind: batch.Int64}}
	for _, c := range []struct {
		in        string
		rows, bad int
	}{
		{"", 0, 0},
		{" \n ", 0, 0},
		{"{\"n\":1}", 1, 0},
		{"{\"n\":1}\n{\"n\":2}\n", 2, 0},
		{"{\n  \"n\": 1\n}\n", 1, 0},
		{"{\n  \"n\": 1\n}\n{\n  \"n\": 2\n}\n", 2, 0},
		{"[]", 0, 0},
		{" [ ] \n", 0, 0},
		{"[{\"n\":1},{\"n\":2}]", 2, 0},
		{"[\n  {\"n\":1},\n  {\"n\":2}\n]\n", 2, 0},
		{"[\n  {\"n\":1},\n  {\"n\":\"x\"},\n  {\"n\":2}\n]\n", 2, 1},
		{"[{\"n\":1},{\"n\":2]", 1, 1},
		{"[{\"n\":1}]x]", 1, 1},
		{"[{\"n\":1},]", 1, 1},
		{"{\"n\":1\n{\"n\":2}\n{\"n\":3}\n", 2, 1}, // a torn line does not cost the others
		{"[1\n{\"n\":2}\n", 1, 1},
		{"{\"n\":1}\n[{\"n\":2}]\n", 1, 1},
		{"x\n{\"n\":2}\n", 1, 1},
	} {
		rows, bad := codectest.Decode(t, newDecoder("auto", columns, codec.Limits{}), columns, []byte(c.in), 10, ']')
		if len(rows) != c.rows || len(bad) != c.bad {
			t.Errorf("%q: %d rows and %v, want %d and %d", c.in, len(rows), bad, c.rows, c.bad)
		}
	}
}

func TestABatchIsHandedOverBeforeItsArenaIsTooLarge(t *testing.T) {
	columns := []codec.Column{{Name: "s", Kind: batch.String}}
	line := `{"s":"` + strings.Repeat("x", 1<<19) + "\"}\n"
	d := newDecoder("lines", columns, codec.Limits{})
	s := codectest.NewCollect(codectest.Schema(columns), 65_536)
	if err := d.Decode(codectest.Block(bytes.Repeat([]byte(line), 600), 0), s); err != nil {
		t.Fatal(err)
	}
	if n := s.Batches(); n < 2 {
		t.Errorf("300 MiB of text in %d batch", n)
	}
	if rows := s.Rows(); len(rows) != 600 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestOneLineOfManyMembersDoesNotSlowDownAllOthers(t *testing.T) {
	columns := []codec.Column{{Name: "n", Kind: batch.Int64}, {Name: "m0", Kind: batch.Int64, Nullable: true}}
	var b strings.Builder
	b.WriteString(`{"n":0`)
	for k := range 500 {
		fmt.Fprintf(&b, `,"m%d":1`, k)
	}
	b.WriteString("}\n")
	want := [][]any{{int64(0), int64(1)}}
	for i := range 2000 {
		fmt.Fprintf(&b, "{\"n\":%d}\n", i)
		want = append(want, []any{int64(i), nil})
	}
	d := newDecoder("lines", columns, codec.Limits{})
	rows, bad := codectest.Decode(t, d, columns, []byte(b.String()), 5000, 0)
	if diff := codectest.EqualRows(rows, want); diff != "" || len(bad) > 0 {
		t.Fatalf("%s, %d bad records", diff, len(bad))
	}
	if s := d.shapes[d.current]; s.members != 1 || s.weight < 1000 {
		t.Errorf("lines of one member are decoded by a shape of %d members, %d lines by that of one", s.members, s.weight)
	}
}

func TestErrorsOfTheSinkComeBackFromTheFastPath(t *testing.T) {
	stop := errors.New("stop")
	d := newDecoder("lines", telemetryColumns, codec.Limits{})
	for _, fail := range []func(*codectest.Collect){func(s *codectest.Collect) { s.FailDone = stop }, func(s *codectest.Collect) { s.FailBad = stop }} {
		s := codectest.NewCollect(codectest.Schema(telemetryColumns), 300)
		fail(s)
		block := append(telemetry(700, nil), "{\n"...)
		if err := d.Decode(codectest.Block(append(block, telemetry(10, nil)...), 0), s); !errors.Is(err, stop) {
			t.Errorf("got %v", err)
		}
		s.Rows()
	}
}

func TestDecodingDoesNotAllocate(t *testing.T) {
	for _, v := range variants {
		if strings.HasPrefix(v.name, "bad") || v.name == "any order" || v.name == "sparse" {
			continue // reports are made for people, shapes are learned
		}
		t.Run(v.name, func(t *testing.T) {
			block := codectest.Block(telemetry(3000, v.change), 0)
			d := newDecoder("lines", v.columns, codec.Limits{})
			b := batch.NewPool(codectest.Schema(v.columns), 1024).Get()
			defer b.Release()
			s := &discard{b: b}
			decode := func() {
				if err := d.Decode(block, s); err != nil {
					t.Fatal(err)
				}
			}
			for range 30 {
				decode()
			}
			if n := testing.AllocsPerRun(10, decode); n != 0 {
				t.Errorf("%v allocations for 3000 rows", n)
			}
			if s.bad > 0 {
				t.Errorf("%d bad records", s.bad)
			}
		})
	}
}

// often is how many random cases to try: fewer in short runs.
func often(n int) int {
	if testing.Short() {
		return n / 20
	}
	return n
}
