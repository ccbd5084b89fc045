package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

// The places of a decision at which a crash is worth trying; collect.go has those behind it.
var (
	claiming = failpoint.New("checkpoint/claiming")
	filled   = failpoint.New("checkpoint/number-used-up")
	claimed  = failpoint.New("checkpoint/claimed")
	leading  = failpoint.New("checkpoint/found-latest")
)

const (
	manifestFolder = "manifests/"
	chunkFolder    = "chunks/"
	// maxGap bounds the epochs that may be given up in a row.
	maxGap = 1000
)

// Entry is one manifest of a store, as it was found.
type Entry struct {
	Epoch    uint64
	Manifest *Manifest // nil when Err tells why it cannot be read
	CRC      uint32    // CRC-32C of its bytes
	Err      error
}

// History is the manifests of one store. One goroutine owns it.
//
// # One decision, and only one engine to make it
//
// The numbers of manifests have no gaps: an engine that gave an epoch up claims its
// number too, with a manifest that repeats the one before, before it claims the next.
// So every engine that goes on from epoch N needs the name N+1 next, and two that run
// at once meet there. Without it, an old engine that skips N+1 could decide N+2
// behind an opening manifest N+1 that it has not seen. An opening manifest alone may
// leave numbers out behind N+1: that of a savepoint from elsewhere is above both. Should
// another engine start at that moment, and this one be killed before it has looked,
// then the savepoint wins: somebody asked for it.
//
// An old engine that slept while others went on may find the name N+1 free again,
// because retention has deleted it. The latest manifest is never deleted, so in that case
// there is a later one than the name just claimed: Claim looks, and gives way.
type History struct {
	store   Store
	entries []Entry // ascending; the manifests that are there
	// dying are manifests that were deleted behind the last claim: the deletion may not be durable.
	dying []Entry
	// garbage are objects that only manifests named whose deletion is durable.
	garbage map[string]bool
	strays  []uint64 // epochs of manifests that are there and do not count
}

// OpenHistory reads the manifests of a store. One that cannot be read becomes an
// Entry with an error: that matters only to who needs it.
func OpenHistory(ctx context.Context, store Store) (*History, error) {
	h := &History{store: store, garbage: map[string]bool{}}
	all, err := readManifests(ctx, store, nil)
	if err != nil {
		return nil, err
	}
	for i, e := range all {
		if i < len(all)-1 && stray(e, all[len(all)-1].Manifest) {
			h.strays = append(h.strays, e.Epoch)
			continue
		}
		h.entries = append(h.entries, e)
	}
	return h, nil
}

// stray reports whether an entry does not count by what the latest manifest says.
func stray(e Entry, latest *Manifest) bool {
	if latest == nil {
		return false
	}
	i := slices.IndexFunc(latest.Before, func(r Reference) bool { return r.Epoch == e.Epoch })
	return i < 0 || e.Manifest != nil && e.CRC != latest.Before[i].CRC
}

// readManifests returns the manifests of a store, ascending; known ones are not read again.
func readManifests(ctx context.Context, store Store, known []Entry) ([]Entry, error) {
	epochs, err := listEpochs(ctx, store)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, epoch := range epochs {
		for len(known) > 0 && known[0].Epoch < epoch {
			known = known[1:]
		}
		if len(known) > 0 && known[0].Epoch == epoch {
			out = append(out, known[0])
			continue
		}
		e := readEntry(ctx, store, epoch)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read the manifests of the checkpoint store: %w", err)
		}
		// An engine that runs beside may delete old ones between the listing and here.
		if !errors.Is(e.Err, ErrNotFound) {
			out = append(out, e)
		}
	}
	return out, nil
}

// listEpochs returns the epochs of the manifests of a store, ascending.
func listEpochs(ctx context.Context, store Store) ([]uint64, error) {
	objects, err := store.List(ctx, manifestFolder)
	if err != nil {
		return nil, fmt.Errorf("list the manifests of the checkpoint store: %w", err)
	}
	var out []uint64
	for _, o := range objects {
		epoch, err := strconv.ParseUint(strings.TrimPrefix(o.Name, manifestFolder), 16, 64)
		if err == nil && o.Name == manifestName(epoch) {
			out = append(out, epoch)
		}
	}
	return out, nil
}

func manifestName(epoch uint64) string { return fmt.Sprintf("%s%016x", manifestFolder, epoch) }

func readEntry(ctx context.Context, store Store, epoch uint64) Entry {
	e := Entry{Epoch: epoch}
	data, err := store.Get(ctx, manifestName(epoch))
	if err == nil {
		e.CRC = Checksum(data)
		e.Manifest, err = DecodeManifest(data)
	}
	if err == nil && e.Manifest.Epoch != epoch {
		err = damaged("it is of epoch %d", e.Manifest.Epoch)
	}
	if err != nil {
		e.Manifest, e.Err = nil, fmt.Errorf("%s: %w", manifestName(epoch), err)
	}
	return e
}

// List returns the manifests, ascending.
func (h *History) List() []Entry { return h.entries }

// Latest returns the latest manifest, nil when there is none. One that cannot be
// read is an error, never skipped: to go on from an older one would make output a
// second time that the latest one says is out.
func (h *History) Latest() (*Manifest, error) {
	if len(h.entries) == 0 {
		return nil, nil
	}
	e := h.entries[len(h.entries)-1]
	if e.Err != nil {
		return nil, diag.New("checkpoint/latest", "the latest checkpoint, epoch %d, cannot be read", e.Epoch).WithCause(e.Err).
			WithHint("gorge checkpoint list shows the others: gorge run --from EPOCH starts from one of them, --fresh from the beginning; both may repeat output")
	}
	return e.Manifest, nil
}

// Load returns the manifest of an epoch.
func (h *History) Load(epoch uint64) (*Manifest, error) {
	var have []string
	for _, e := range h.entries {
		if e.Epoch == epoch {
			return e.Manifest, e.Err
		}
		have = append(have, strconv.FormatUint(e.Epoch, 10))
	}
	err := diag.New("checkpoint/unknown", "there is no checkpoint of epoch %d", epoch)
	if len(have) == 0 {
		return nil, err.WithHint("the store has none at all")
	}
	return nil, err.WithHint("there are %s", strings.Join(have, ", "))
}

// highest returns the number of the latest manifest, 0 when there is none.
func (h *History) highest() uint64 {
	if len(h.entries) == 0 {
		return 0
	}
	return h.entries[len(h.entries)-1].Epoch
}

// Opening returns the manifest that a starting engine claims first: the content of
// from (of this store or another, nil: nothing) under the next number. The objects
// that it names must be in this store. To go on from the latest, hand in what Latest returned.
func (h *History) Opening(from *Manifest, pipeline, engine string, taken time.Time) *Manifest {
	m := &Manifest{Version: Version}
	epoch := h.highest()
	if from != nil {
		*m = *from
		m.Repeats = from.Origin()
		epoch = max(epoch, from.Epoch) // sinks know the epochs of both
	}
	m.Epoch, m.Kind, m.Pipeline, m.Engine, m.Taken = epoch+1, Opening, pipeline, engine, taken
	if latest, _ := h.Latest(); from == nil || from != latest {
		m.Line = m.Epoch
	}
	return m
}

// Claim decides the epoch of the manifest: nobody else has decided it, nor a later
// one. It fills in Line (but in opening manifests) and Before, and keeps m. When another engine has, the error has the code checkpoint/fenced and wraps
// ErrExists. Behind any error the engine must end: what was decided is known by a new look only.
func (h *History) Claim(ctx context.Context, m *Manifest) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("the manifest of epoch %d: %w", m.Epoch, err)
	}
	last := h.highest()
	until := m.Epoch
	if m.Kind == Opening {
		until = min(until, last+2)
	}
	if m.Epoch <= last || last > 0 && until-last > maxGap {
		return fmt.Errorf("epoch %d cannot follow epoch %d", m.Epoch, last)
	}
	if m.Kind != Opening {
		before, err := h.Latest()
		if err != nil || before == nil {
			return fmt.Errorf("epoch %d comes before the opening manifest", m.Epoch)
		}
		m.Line = before.Line
	}
	claiming.Hit()
	var mine []string
	for e := last + 1; last > 0 && e < until && !failpoint.Bug("checkpoint-claim-leaves-gaps"); e++ {
		if err := h.claim(ctx, h.repeat(e, m)); err != nil {
			return err
		}
		mine = append(mine, manifestName(e))
		filled.Hit()
	}
	if err := h.claim(ctx, m); err != nil {
		return err
	}
	claimed.Hit()
	if err := h.lead(ctx, last, append(mine, manifestName(m.Epoch))); err != nil {
		return err
	}
	leading.Hit()
	h.settle()
	return nil
}

// repeat returns the manifest that uses up the number of an epoch that was given up before m.
func (h *History) repeat(epoch uint64, m *Manifest) *Manifest {
	before, err := h.Latest()
	if err != nil {
		before = m // it is an opening one: nothing was given up yet
	}
	r := *before
	r.Repeats = before.Origin()
	r.Epoch, r.Kind, r.Engine, r.Taken = epoch, Abandoned, m.Engine, m.Taken
	return &r
}

// claim claims the name of one manifest.
func (h *History) claim(ctx context.Context, m *Manifest) error {
	m.Before = nil
	for _, e := range h.entries {
		m.Before = append(m.Before, Reference{e.Epoch, e.CRC})
	}
	data := m.Encode()
	if len(data) > maxManifest {
		return errTooLarge
	}
	if err := h.store.Claim(ctx, manifestName(m.Epoch), data); err != nil {
		if errors.Is(err, ErrExists) {
			return fenced(m.Epoch, err)
		}
		return fmt.Errorf("claim %s: %w", manifestName(m.Epoch), err)
	}
	h.entries = append(h.entries, Entry{Epoch: m.Epoch, Manifest: m, CRC: Checksum(data)})
	return nil
}

// lead returns an error when, behind manifest last, there are others than those just
// claimed: then a name was free only because it had been deleted (see History).
func (h *History) lead(ctx context.Context, last uint64, mine []string) error {
	epochs, err := listEpochs(ctx, h.store)
	if err != nil {
		return err
	}
	for _, epoch := range epochs {
		if epoch <= last || slices.Contains(mine, manifestName(epoch)) || failpoint.Bug("checkpoint-claim-trusts-a-free-name") {
			continue
		}
		// Nobody has acted upon mine. Should they come back after a power cut, they are strays.
		return fenced(epoch, errors.Join(ErrExists, h.store.Delete(ctx, mine)))
	}
	return nil
}

func fenced(epoch uint64, cause error) error {
	return diag.New("checkpoint/fenced", "another engine has taken over: it has decided epoch %d or a later one", epoch).WithCause(cause).
		WithHint("one engine at a time runs a pipeline: stop one of them, or give each a data directory or store of its own")
}
