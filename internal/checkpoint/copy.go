package checkpoint

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/gorge-stream/gorge/internal/diag"
)

// CopyTo makes a savepoint: it copies a manifest and all that it names to another
// store, which must have no checkpoints. The manifest comes last, so that a copy that
// was cut short is none.
func CopyTo(ctx context.Context, from Store, m *Manifest, to Store) error {
	if err := Vacant(ctx, to); err != nil {
		return err
	}
	if err := CopyObjects(ctx, from, m, to); err != nil {
		return err
	}
	err := to.Claim(ctx, manifestName(m.Epoch), m.Encode())
	if errors.Is(err, ErrExists) {
		return occupied(m.Epoch)
	}
	if err != nil {
		return fmt.Errorf("claim the manifest of the savepoint: %w", err)
	}
	return nil
}

// Vacant returns an error when a store holds a checkpoint, so that no savepoint fits in.
func Vacant(ctx context.Context, store Store) error {
	epochs, err := listEpochs(ctx, store)
	if err == nil && len(epochs) > 0 {
		err = occupied(epochs[len(epochs)-1])
	}
	return err
}

func occupied(epoch uint64) error {
	return diag.New("checkpoint/occupied", "the place for the savepoint holds a checkpoint already, of epoch %d", epoch).
		WithHint("name an empty directory or prefix")
}

// CopyObjects copies the objects that a manifest names to another store, as a run does
// before it opens that store with the content of the manifest.
func CopyObjects(ctx context.Context, from Store, m *Manifest, to Store) error {
	for _, s := range m.Segments() {
		data, err := GetSegment(ctx, from, s)
		if err != nil {
			return err
		}
		if err := to.Put(ctx, s.Object, data); err != nil {
			return fmt.Errorf("copy %s: %w", s.Object, err)
		}
	}
	return nil
}

// GetSegment reads the object of a segment and holds it against size and checksum.
func GetSegment(ctx context.Context, store Store, s Segment) ([]byte, error) {
	data, err := store.Get(ctx, s.Object)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, DamagedObject(s.Object, err)
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", s.Object, err)
	case int64(len(data)) != s.Size:
		return nil, DamagedObject(s.Object, fmt.Errorf("it has %d bytes, but %d were written", len(data), s.Size))
	case Checksum(data) != s.CRC:
		return nil, DamagedObject(s.Object, errors.New("its bytes are not those that were written: the checksum differs"))
	}
	return data, nil
}

// DamagedObject says that an object which a checkpoint needs is not what was written.
func DamagedObject(object string, cause error) error {
	return diag.New("checkpoint/object", "state of a checkpoint is damaged: %s", object).WithCause(cause).
		WithHint("gorge checkpoint verify shows which checkpoints are whole; gorge run --from EPOCH starts from one, --fresh from the beginning")
}

// ChunkName returns the name of an object with the SHA-256 of its bytes.
func ChunkName(sum [32]byte) string { return chunkFolder + hex.EncodeToString(sum[:]) }
