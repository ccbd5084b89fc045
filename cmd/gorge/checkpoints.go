package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/dir"
	"github.com/gorge-stream/gorge/internal/checkpoint/s3"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/job"
	"github.com/gorge-stream/gorge/internal/plan"
)

// checkpointsDir is where checkpoints are below the data directory.
const checkpointsDir = "checkpoints"

// checkpointFlags are the flags about checkpoints of gorge run.
type checkpointFlags struct {
	interval  string
	fresh     bool
	from      string
	rename    []string
	dropState bool
}

// check refuses flags that do not go together. It says nothing of the interval.
func (f *checkpointFlags) check(p *plan.Plan) error {
	if p.Checkpoint.Off && (f.fresh || f.from != "") {
		return diag.New("cli/checkpoint", "--fresh and --from are about checkpoints, which are off").
			WithHint("leave out --checkpoint off and checkpoint: off, or the flag")
	}
	if f.fresh && (len(f.rename) > 0 || f.dropState) {
		return diag.New("cli/checkpoint", "--fresh starts from nothing, so that there is nothing to rename or to drop").WithHint("leave out --fresh, or --rename and --drop-state")
	}
	if f.fresh && f.from != "" {
		return diag.New("cli/checkpoint", "--fresh starts from nothing and --from from a checkpoint").WithHint("name one of them")
	}
	return nil
}

// renames reads --rename old=new.
func (f *checkpointFlags) renames() (map[string]string, error) {
	out := map[string]string{}
	for _, r := range f.rename {
		old, name, ok := strings.Cut(r, "=")
		if !ok || old == "" || name == "" {
			return nil, diag.New("cli/rename", "--rename is %q, but must be old=new", r).
				WithHint("old is the name in the checkpoint, new the one in the pipeline file")
		}
		out[old] = name
	}
	return out, nil
}

// storeAt returns where the checkpoints of a pipeline are.
func storeAt(p *plan.Plan, dataDir string) string {
	if p.Checkpoint.Store != "" {
		return p.Checkpoint.Store
	}
	return filepath.Join(dataDir, checkpointsDir)
}

// isBucket reports whether a place of checkpoints is a bucket rather than a folder.
func isBucket(place string) bool { return strings.HasPrefix(place, "s3://") }

// openStore opens a place of checkpoints for writing.
func openStore(ctx context.Context, place string) (checkpoint.Store, io.Closer, error) {
	if isBucket(place) {
		s, err := s3.Open(ctx, place)
		return s, nothing{}, err
	}
	s, err := dir.Open(vfs.Default, place)
	for give := time.Now().Add(lockPatience); isLocked(err) && time.Now().Before(give) && ctx.Err() == nil; {
		time.Sleep(lockPatience / 100)
		s, err = dir.Open(vfs.Default, place)
	}
	if err != nil {
		return nil, nothing{}, err
	}
	return s, s, nil
}

// lockPatience is for how long a run waits for a lock: a killed engine holds it
// until the kernel has cleared it away, which supervisors do not wait for.
const lockPatience = 5 * time.Second

func isLocked(err error) bool {
	var d *diag.Error
	return errors.As(err, &d) && d.Code == "checkpoint/locked"
}

// readStore opens a place of checkpoints for reading, beside an engine that may use it.
func readStore(ctx context.Context, place string) (checkpoint.Store, error) {
	if isBucket(place) {
		return s3.Open(ctx, place)
	}
	return dir.OpenReadOnly(vfs.Default, place)
}

// nothing is a Closer with nothing to close.
type nothing struct{}

func (nothing) Close() error { return nil }

// openCheckpoints opens the store of the run and finds what --from names.
func (e *engine) openCheckpoints(ctx context.Context) (*job.Checkpoints, io.Closer, error) {
	if e.plan.Checkpoint.Off {
		return nil, nothing{}, nil
	}
	renames, err := e.flags.renames()
	if err != nil {
		return nil, nothing{}, usage(err)
	}
	store, closer, err := openStore(ctx, storeAt(e.plan, e.dataDir()))
	if err != nil {
		return nil, nothing{}, err
	}
	c := &job.Checkpoints{Store: store, Engine: version, Shared: isBucket(storeAt(e.plan, e.dataDir())), Fresh: e.flags.fresh, Rename: renames, DropState: e.flags.dropState}
	if e.flags.from != "" {
		if c.From, c.FromStore, err = savepointAt(ctx, store, e.flags.from); err != nil {
			_ = closer.Close()
			return nil, nothing{}, err
		}
	}
	return c, closer, nil
}

// isEpoch reports whether --from names a checkpoint by its number.
func isEpoch(from string) bool {
	_, err := strconv.ParseUint(from, 10, 64)
	return err == nil
}

// savepointAt finds the checkpoint that --from names: the number of an epoch of the
// run's own store, or the latest in another place.
func savepointAt(ctx context.Context, own checkpoint.Store, from string) (*checkpoint.Manifest, checkpoint.Store, error) {
	store := own
	epoch, err := strconv.ParseUint(from, 10, 64)
	numbered := err == nil
	if !numbered {
		if store, err = readStore(ctx, from); err != nil {
			return nil, nil, err
		}
	}
	h, err := checkpoint.OpenHistory(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	if numbered {
		m, err := h.Load(epoch)
		return m, store, err
	}
	m, err := h.Latest()
	if err == nil && m == nil {
		err = diag.New("cli/from", "there is no checkpoint in %s", from).WithHint("gorge savepoint makes one")
	}
	return m, store, err
}
