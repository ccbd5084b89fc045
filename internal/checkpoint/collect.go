package checkpoint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// The places of the collection at which a crash is worth trying.
var (
	garbageDeleted   = failpoint.New("checkpoint/garbage-deleted")
	manifestsDeleted = failpoint.New("checkpoint/manifests-deleted")
	orphansDeleted   = failpoint.New("checkpoint/orphans-deleted")
)

// Collect deletes the manifests beyond the last retain (those that repeat another
// count as one with it, and the latest of them stays), and objects that no manifest
// needs. It is called behind each decision, once the epoch is committed.
//
// A manifest that is listed has all its objects, whatever a power cut does to
// deletions: first the manifest goes; the next Claim makes that durable, because it
// syncs the folder that both names are in; the Collect behind it deletes the objects.
// Until then the manifest counts for Oldest too.
//
// What is deleted follows from the manifests that this engine read or wrote, never
// from a listing. An engine that was fenced without knowing it therefore deletes at
// most old manifests: the objects would go behind its next Claim, which fails. And
// what a later engine wrote it has never heard of.
func (h *History) Collect(ctx context.Context, retain int) error {
	if err := h.deleteGarbage(ctx); err != nil {
		return err
	}
	kept, old := h.retained(retain)
	var names []string
	for _, e := range old {
		names = append(names, manifestName(e.Epoch))
	}
	for _, epoch := range h.strays {
		names = append(names, manifestName(epoch))
	}
	if len(names) == 0 {
		return nil
	}
	if err := h.store.Delete(ctx, names); err != nil {
		return fmt.Errorf("delete old manifests: %w", err)
	}
	manifestsDeleted.Hit()
	h.entries, h.strays = kept, nil
	h.dying = append(h.dying, old...)
	if failpoint.Bug("checkpoint-collect-at-once") {
		h.settle()
		return h.deleteGarbage(ctx)
	}
	return nil
}

// retained divides the manifests into those that stay and those that go.
func (h *History) retained(retain int) (kept, old []Entry) {
	origins := map[uint64]bool{}
	for _, e := range slices.Backward(h.entries) {
		origin := e.Epoch
		if e.Manifest != nil {
			origin = e.Manifest.Origin()
		}
		if origins[origin] || len(origins) >= max(retain, 1) {
			old = append(old, e)
			continue
		}
		origins[origin] = true
		kept = append(kept, e)
	}
	slices.Reverse(kept)
	slices.Reverse(old)
	return kept, old
}

// settle notes a claim: what was deleted before it stays deleted.
func (h *History) settle() {
	for _, e := range h.dying {
		if e.Manifest == nil {
			continue // its objects are orphans at the next start
		}
		for _, s := range e.Manifest.Segments() {
			h.garbage[s.Object] = true
		}
	}
	h.dying = nil
}

// Discard takes objects that this engine wrote for an epoch that was given up. They
// go behind the next decision if it does not name them.
func (h *History) Discard(segments []Segment) {
	for _, s := range segments {
		h.garbage[s.Object] = true
	}
}

// deleteGarbage deletes the garbage that no manifest names.
func (h *History) deleteGarbage(ctx context.Context) error {
	if !failpoint.Bug("checkpoint-collect-what-is-named") {
		for name := range named(h.entries, h.dying) {
			delete(h.garbage, name)
		}
	}
	if len(h.garbage) == 0 {
		return nil
	}
	if err := h.store.Delete(ctx, slices.Sorted(maps.Keys(h.garbage))); err != nil {
		return fmt.Errorf("delete objects of old checkpoints: %w", err)
	}
	garbageDeleted.Hit()
	clear(h.garbage)
	return nil
}

// named returns the objects that the manifests name.
func named(lists ...[]Entry) map[string]bool {
	out := map[string]bool{}
	for _, list := range lists {
		for _, e := range list {
			if e.Manifest != nil {
				for _, s := range e.Manifest.Segments() {
					out[s.Object] = true
				}
			}
		}
	}
	return out
}

// CollectOrphans deletes the objects that no manifest names and that were written
// before olderThan: what engines left that were killed. An engine calls it when it has
// claimed its opening manifest, so that deletions of manifests it has seen are durable,
// with a time well before the first upload of any engine that may run now. It returns how many there were.
func (h *History) CollectOrphans(ctx context.Context, olderThan time.Time) (int, error) {
	// Objects before manifests: what is decided in between is in the manifests.
	objects, err := h.store.List(ctx, chunkFolder)
	if err != nil {
		return 0, fmt.Errorf("list the objects of the checkpoint store: %w", err)
	}
	there, err := readManifests(ctx, h.store, h.entries)
	if err != nil {
		return 0, err
	}
	for _, e := range there {
		if e.Err != nil {
			return 0, diag.New("checkpoint/orphans", "objects of no checkpoint are not deleted, because one that cannot be read may name them").
				WithCause(e.Err).WithHint("it goes as soon as it is older than the checkpoints that are kept")
		}
	}
	// An engine that was fenced may just have deleted manifests that h has: they can come back.
	live := named(there, h.entries, h.dying)
	var names []string
	for _, o := range objects {
		if !live[o.Name] && o.Written.Before(olderThan) {
			names = append(names, o.Name)
		}
	}
	if len(names) == 0 {
		return 0, nil
	}
	if err := h.store.Delete(ctx, names); err != nil {
		return 0, fmt.Errorf("delete objects of no checkpoint: %w", err)
	}
	orphansDeleted.Hit()
	return len(names), nil
}

// Oldest returns the oldest manifest from which a run may still go on: sources keep
// what is behind its positions. It is nil when that is not known: there is none, one
// cannot be read, or some are of another line, until retention has deleted those.
func (h *History) Oldest() *Manifest {
	var oldest *Manifest
	for _, e := range slices.Concat(h.dying, h.entries) {
		switch {
		case e.Manifest == nil, oldest != nil && oldest.Line != e.Manifest.Line:
			return nil
		case oldest == nil || e.Epoch < oldest.Epoch:
			oldest = e.Manifest
		}
	}
	return oldest
}

// RemoveAll forgets every checkpoint: a run that is asked to begin anew claims its
// opening manifest by it, and the others go.
//
// There is one decision here as well, the claim. To delete all manifests instead would
// be none: some come back after a power cut, and the next run would go on from
// whichever was the latest of those. The new one is durable and the latest from the
// moment of the claim, and an engine that still runs is fenced by its number.
func (h *History) RemoveAll(ctx context.Context, opening *Manifest) error {
	if err := h.Claim(ctx, opening); err != nil {
		return err
	}
	return h.Collect(ctx, 1)
}
