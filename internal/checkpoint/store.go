package checkpoint

import (
	"context"
	"errors"
	"time"
)

// ErrExists is returned by Store.Claim when the name is taken.
var ErrExists = errors.New("the name is taken")

// ErrNotFound is returned by Store.Get for a name that is not there.
var ErrNotFound = errors.New("no such object")

// Store keeps objects under names such as "chunks/0011.." and "manifests/..".
// An object is written once, whole, and never changed. All methods may be called
// by any goroutine. Bytes that are handed in are the caller's again when the method
// returns, bytes that are handed out are the caller's. checkpointtest is the suite for every store.
type Store interface {
	// Put writes an object; when it returns nil the object is durable, name included.
	// Putting the same bytes again under their name does no harm.
	Put(ctx context.Context, name string, data []byte) error
	// Claim is Put for exactly one of all that try a name, whatever process they
	// are in; for the others it returns ErrExists. Another error leaves open
	// whether the name was taken: the caller must end and look anew.
	Claim(ctx context.Context, name string, data []byte) error
	// Get reads an object; ErrNotFound when there is none.
	Get(ctx context.Context, name string) ([]byte, error)
	// List returns the objects whose names begin with prefix, by name.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Delete deletes objects; those that are not there are ignored. A deletion may come back after a power cut.
	Delete(ctx context.Context, names []string) error
}

// Object is one object of a store.
type Object struct {
	Name    string
	Size    int64
	Written time.Time
}
