package main

import (
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/gorge-stream/gorge/bench/dataset"
	"github.com/gorge-stream/gorge/bench/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBaselineIsExact(t *testing.T) {
	for _, style := range []dataset.Style{dataset.Plain, dataset.NullsBool, dataset.Escapes} {
		dir := t.TempDir()
		f, err := dataset.Make(dir, dataset.Set{Style: style, Events: 30_000, Devices: 100})
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "out.csv")
		if err := run(f.Input, out); err != nil {
			t.Fatal(err)
		}
		oracle, err := dataset.Load(f.Oracle)
		if err != nil {
			t.Fatal(err)
		}
		r, err := verify.File(out, oracle)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Err(); err != nil {
			t.Errorf("%s: %v", style, err)
		}
	}
}

func TestBaselineReportsBadLines(t *testing.T) {
	in := filepath.Join(t.TempDir(), "bad.ndjson")
	if err := os.WriteFile(in, []byte("{}\n{\"ts\":\n{}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(in, in+".csv"); err == nil {
		t.Error("no error")
	}
}
