package checkpointtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/gorge-stream/gorge/internal/checkpoint"
)

func TestMemoryIsAStore(t *testing.T) {
	Run(t, func(*testing.T) checkpoint.Store { return NewMemory() })
}

func TestFaultsDecideTheFateOfCalls(t *testing.T) {
	boom := errors.New("boom")
	m := NewMemory()
	fates := map[Call]Fault{
		{Put, "chunks/a"}:      {Err: boom},
		{Claim, "manifests/1"}: {Err: boom, Done: true},
		{Claim, "manifests/2"}: {Err: boom},
		{List, "chunks/"}:      {Err: boom},
		{Get, "manifests/3"}:   {Err: boom},
		{Delete, "chunks/b"}:   {Err: boom},
	}
	m.Faults(func(c Call) Fault { return fates[c] })
	_, listErr := m.List(t.Context(), "chunks/")
	_, getErr := m.Get(t.Context(), "manifests/3")
	for i, err := range []error{
		m.Put(t.Context(), "chunks/a", nil), m.Claim(t.Context(), "manifests/1", nil), m.Claim(t.Context(), "manifests/2", nil),
		listErr, getErr, m.Delete(t.Context(), []string{"chunks/b"}),
	} {
		if !errors.Is(err, boom) {
			t.Errorf("call %d returned %v", i, err)
		}
	}
	m.Faults(nil)
	if got := names(t, m, ""); !slices.Equal(got, []string{"manifests/1"}) {
		t.Errorf("only the claim without an answer was to happen; the store has %q", got)
	}
	if got := m.Calls(); len(got) != 7 || got[2] != (Call{Put, "chunks/a"}) {
		t.Errorf("the calls were %v", got)
	}
	if !m.Flip("manifests/1", 3) {
		must(t, m.Put(t.Context(), "chunks/a", []byte{0, 0}))
	}
	if !m.Flip("chunks/a", 9) {
		t.Error("nothing was flipped")
	}
	holds(t, m, "chunks/a", []byte{0, 2})
}
