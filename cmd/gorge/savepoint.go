package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/spf13/cobra"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/checkpoint/dir"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/plan"
	"github.com/gorge-stream/gorge/internal/server"
)

// savepointFlags are the flags of gorge savepoint.
type savepointFlags struct {
	stored storeFlags
	http   string
}

func savepointCmd() *cobra.Command {
	f := &savepointFlags{}
	c := &cobra.Command{
		Use:   "savepoint FILE DEST",
		Short: "Copy all that a pipeline needs to go on to another place",
		Long: `Make a savepoint of a pipeline in DEST, an empty or new folder or a bucket
(s3://BUCKET/FOLDER?endpoint=HOST). It is complete in itself: retention does not
delete it, and gorge run --from DEST starts from it, elsewhere or with a changed file.

A running engine is asked to take a checkpoint for it; it goes on meanwhile. When
no engine runs, the last checkpoint is copied.

  gorge savepoint city.yaml backups/monday
  gorge savepoint city.yaml backups/monday --http 127.0.0.1:9000
  gorge run city.yaml --data new --from backups/monday`,
		Args: exactly(2, "the pipeline file and the place of the savepoint"),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], args[1]) },
	}
	c.Flags().StringVar(&f.http, "http", server.DefaultAddr, "address of the engine")
	f.stored.add(c)
	return c
}

func (f *savepointFlags) run(cmd *cobra.Command, file, dest string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	p, err := f.stored.plan(cmd, file)
	if err != nil {
		return err
	}
	if !isBucket(dest) {
		if dest, err = filepath.Abs(dest); err != nil {
			return err
		}
	}
	place := f.stored.place(p)
	if !isBucket(place) && !cmd.Flags().Changed("http") {
		done, err := copyStopped(ctx, cmd, place, dest)
		if done {
			return err
		}
	}
	var made server.Savepoint
	err = ask(ctx, f.http, "/v1/savepoints", server.SavepointRequest{To: dest, Pipeline: p.Name}, &made)
	if isUnreachable(err) && !cmd.Flags().Changed("http") {
		return f.withoutEngine(ctx, cmd, place, dest, err)
	}
	if err != nil {
		return err
	}
	sayMade(cmd, made)
	return nil
}

func sayMade(cmd *cobra.Command, made server.Savepoint) {
	fmt.Fprintf(cmd.OutOrStdout(), "savepoint of epoch %d, %s, in %s\n", made.Epoch, sizeText(made.Bytes), made.To)
}

// copyStopped copies the last checkpoint of a folder that no engine has open. It
// reports whether that was so.
func copyStopped(ctx context.Context, cmd *cobra.Command, place, dest string) (done bool, err error) {
	if _, err := dir.OpenReadOnly(vfs.Default, place); err != nil {
		return false, nil // the engine may keep them elsewhere
	}
	s, err := dir.Open(vfs.Default, place)
	if err != nil {
		return !isLocked(err), err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return true, copyLatest(ctx, cmd, s, place, dest)
}

// withoutEngine says what is missing when no engine answers, or copies from a
// bucket, of which nobody knows whether an engine has it open.
func (f *savepointFlags) withoutEngine(ctx context.Context, cmd *cobra.Command, place, dest string, unreachable error) error {
	store, err := readStore(ctx, place)
	switch {
	case err != nil:
		return diag.New("savepoint/none", "there are no checkpoints of the pipeline in %s, and no engine answers at %s", place, f.http).WithCause(err).
			WithHint("name the data directory that it ran with by --data, or the address of its engine by --http")
	case !isBucket(place):
		return diag.New("savepoint/unreachable", "an engine has the checkpoints in %s open, but none answers at %s", place, f.http).WithCause(unreachable).
			WithHint("name its address, which gorge run prints, by --http; one that runs with --http off has to be stopped first")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "no engine answers at %s: copying the last checkpoint\n", f.http)
	return copyLatest(ctx, cmd, store, place, dest)
}

// copyLatest makes a savepoint of the latest checkpoint in a store.
func copyLatest(ctx context.Context, cmd *cobra.Command, store checkpoint.Store, place, dest string) (err error) {
	h, err := checkpoint.OpenHistory(ctx, store)
	if err != nil {
		return err
	}
	m, err := h.Latest()
	if err != nil {
		return err
	}
	if err := resumable(m, place); err != nil {
		return err
	}
	if abs, err := filepath.Abs(place); err == nil && abs == dest {
		return diag.New("savepoint/occupied", "%s is where the pipeline keeps its checkpoints", dest).WithHint("name an empty or new folder")
	}
	to, closer, err := openSavepoint(ctx, dest)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	if err := checkpoint.CopyTo(ctx, store, m, to); err != nil {
		return err
	}
	sayMade(cmd, server.Savepoint{Epoch: m.Epoch, Bytes: sizeOf(m), To: dest})
	if m.Kind != checkpoint.Stopping {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: the engine was killed, so that output of its last checkpoint may still wait to be shown: the next gorge run with its data directory does that")
	}
	return nil
}

// resumable refuses a checkpoint that there is nothing to go on from in.
func resumable(m *checkpoint.Manifest, place string) error {
	if err := begun(m, place); err != nil {
		return err
	}
	if m.Finished {
		return diag.New("savepoint/finished", "the input of the pipeline had ended at epoch %d: there is nothing to go on from", m.Epoch).
			WithHint("gorge checkpoint list shows earlier checkpoints; gorge run --from EPOCH starts from one")
	}
	return nil
}

// begun refuses a latest manifest without anything in it: no epoch has been decided.
func begun(m *checkpoint.Manifest, place string) error {
	if m != nil && (m.Finished || len(m.Sources) > 0) {
		return nil
	}
	return diag.New("cli/no-checkpoint", "there is no checkpoint in %s yet", place).
		WithHint("the first comes with the interval of the pipeline, or when gorge run is stopped")
}

// openSavepoint opens the place of a savepoint for writing.
func openSavepoint(ctx context.Context, dest string) (checkpoint.Store, io.Closer, error) {
	if !isBucket(dest) {
		if err := vacantFolder(dest); err != nil {
			return nil, nothing{}, err
		}
	}
	s, closer, err := openStore(ctx, dest)
	if err != nil {
		return nil, nothing{}, err
	}
	if err := checkpoint.Vacant(ctx, s); err != nil {
		return nil, nothing{}, errors.Join(err, closer.Close())
	}
	return s, closer, nil
}

// vacantFolder refuses folders with something else in them than a savepoint that was cut short.
func vacantFolder(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	hint := "name an empty or new folder"
	if err != nil {
		return diag.New("savepoint/folder", "the savepoint cannot be made in %s", path).WithCause(err).WithHint("%s", hint)
	}
	for _, e := range entries {
		if !slices.Contains(append([]string{"LOCK", "pending"}, checkpoint.Folders...), e.Name()) {
			return diag.New("savepoint/occupied", "%s is not empty: %s is in it", path, e.Name()).WithHint("%s", hint)
		}
	}
	return nil
}

// sizeOf returns the bytes of a manifest and all that it names.
func sizeOf(m *checkpoint.Manifest) int64 {
	n := int64(len(m.Encode()))
	for _, s := range m.Segments() {
		n += s.Size
	}
	return n
}

// savepoint makes a savepoint of the running job: POST /v1/savepoints.
func (e *engine) savepoint(ctx context.Context, req server.SavepointRequest) (_ server.Savepoint, err error) {
	if req.Pipeline != "" && req.Pipeline != e.plan.Name {
		return server.Savepoint{}, diag.New("savepoint/other-pipeline", "the engine runs the pipeline %s, not %s", e.plan.Name, req.Pipeline).
			WithHint("name the address of its engine by --http")
	}
	j := e.job.Load()
	if j == nil {
		return server.Savepoint{}, diag.New("savepoint/starting", "the engine is still starting").WithHint("wait until /readyz answers 200")
	}
	if !j.Resumable() {
		_, err := j.Savepoint(ctx, nil) // it says why not
		return server.Savepoint{}, err
	}
	to, closer, err := openSavepoint(ctx, req.To)
	if err != nil {
		return server.Savepoint{}, err
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	m, err := j.Savepoint(ctx, to)
	if err != nil {
		return server.Savepoint{}, err
	}
	e.log.Info("made a savepoint", "epoch", m.Epoch, "to", req.To)
	return server.Savepoint{Epoch: m.Epoch, Bytes: sizeOf(m), To: req.To}, nil
}

// storeFlags say where the checkpoints of a pipeline are.
type storeFlags struct {
	data  string
	store string
	set   []string
}

// add adds the flags to a command.
func (f *storeFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.data, "data", "", "data directory of the pipeline (default gorge-data/NAME)")
	setFlag(c, &f.set)
}

// plan compiles the pipeline file.
func (f *storeFlags) plan(cmd *cobra.Command, file string) (*plan.Plan, error) {
	p, _, err := readPipeline(cmd.InOrStdin(), file, f.set, "")
	return p, err
}

// place returns where the checkpoints are.
func (f *storeFlags) place(p *plan.Plan) string {
	if f.store != "" {
		return f.store
	}
	return storeAt(p, dataDir(p, f.data))
}

// dataDir returns the data directory of a pipeline, where a flag names none.
func dataDir(p *plan.Plan, named string) string {
	if named != "" {
		return named
	}
	return filepath.Join("gorge-data", p.Name)
}
