package checkpoint

import (
	"time"

	"github.com/gorge-stream/gorge/internal/keygroup"
)

// Version is the version of the manifest's format; docs/formats/checkpoint.md describes it.
const Version = 1

// Manifest is one decided checkpoint: everything that a job needs to go on from
// the end of an epoch. It names segments of state and holds the rest itself.
type Manifest struct {
	Version  int    `json:"version"`
	Engine   string `json:"engine"` // version of the engine that wrote it
	Pipeline string `json:"pipeline"`
	Epoch    uint64 `json:"epoch"`
	Kind     Kind   `json:"kind"`
	// Repeats is the epoch whose content this one repeats, 0 when it has its own.
	Repeats uint64 `json:"repeats,omitempty"`
	// Line is the opening epoch of a run that did not go on from the latest checkpoint:
	// positions of different lines cannot be compared.
	Line uint64 `json:"line,omitempty"`
	// Before are the manifests that there were when it was claimed. An older one that is not
	// among them was deleted and came back, or belongs to an engine that was fenced.
	Before []Reference `json:"before,omitempty"`
	Taken  time.Time   `json:"taken"`
	// Finished: the input had ended and every result is out; there is nothing to go on from.
	Finished    bool     `json:"finished,omitempty"`
	Parallelism int      `json:"parallelism"`
	Steps       []Step   `json:"steps,omitempty"`
	Sources     []Source `json:"sources"`
	Sinks       []Sink   `json:"sinks"`
}

// Reference names a manifest and, by the CRC-32C of its bytes, tells it from another of that name.
type Reference struct {
	Epoch uint64 `json:"epoch"`
	CRC   uint32 `json:"crc"`
}

// Kind says why a checkpoint was taken.
type Kind string

// The kinds.
const (
	Opening   Kind = "opening"   // at a start: it claims the store and repeats the one before
	Periodic  Kind = "periodic"  // by the interval
	Savepoint Kind = "savepoint" // somebody asked for it; every segment is whole
	Stopping  Kind = "stopping"  // the engine was told to stop
	Ending    Kind = "ending"    // the input had ended
	Abandoned Kind = "abandoned" // it repeats the one before and uses up the number of an epoch that was given up
)

// Step is the state of one step.
type Step struct {
	Name string `json:"name"`
	// Layout describes in words all that the meaning of the records depends on: the
	// operation, the types of the key, each accumulator. State fits a step of the same layout.
	Layout []string `json:"layout"`
	Shards []Shard  `json:"shards"`
}

// Shard is the state of one task of a step.
type Shard struct {
	Groups keygroup.Range `json:"groups"`
	// Panes are the panes there were, ascending by id.
	Panes []Pane `json:"panes,omitempty"`
	// Segments hold the records, oldest first.
	Segments []Segment `json:"segments,omitempty"`
}

// Pane is one pane of a shard. Only segments of epoch Born and later hold records of it.
type Pane struct {
	ID   int64  `json:"id"`
	Born uint64 `json:"born"`
}

// Segment is one object with chunks of state; docs/formats/segment.md describes it.
type Segment struct {
	Object string `json:"object"`
	Size   int64  `json:"size"`
	CRC    uint32 `json:"crc"` // CRC-32C of the object
	Epoch  uint64 `json:"epoch"`
	// Groups are the key groups whose chunks may be in it; Base those of which it has
	// every record, so that older segments do not count for them.
	Groups keygroup.Range `json:"groups"`
	Base   keygroup.Range `json:"base"`
	Rows   int64          `json:"rows"` // records and deletions
	// BaseRows are those of Rows that are in groups of Base.
	BaseRows int64 `json:"base_rows"`
}

// Source is where one source stands.
type Source struct {
	Name      string `json:"name"`
	Connector string `json:"connector"`
	// Watermark of the source, in microseconds since 1970.
	Watermark int64 `json:"watermark"`
	// Blocks is the number of blocks read so far; Recent is the split and the
	// largest event time of the last of them, oldest first: by them the next split is chosen.
	Blocks uint64        `json:"blocks"`
	Recent []RecentBlock `json:"recent,omitempty"`
	Splits []Split       `json:"splits"`
}

// RecentBlock is what the choice of the next split goes by.
type RecentBlock struct {
	Split   string `json:"split"`
	Largest int64  `json:"largest"`
}

// Split is where one split stands.
type Split struct {
	ID       string `json:"id"`
	Position []byte `json:"position,omitempty"` // absent: at the start
	Ended    bool   `json:"ended,omitempty"`
	Blocks   uint64 `json:"blocks"`
	// Largest is the largest event time that the choice of splits knows of, Newest that of the watermark.
	Largest int64 `json:"largest"`
	Newest  int64 `json:"newest"`
}

// Sink is what one sink has to commit, again if need be.
type Sink struct {
	Name         string   `json:"name"`
	Connector    string   `json:"connector"`
	Committables [][]byte `json:"committables,omitempty"`
}
