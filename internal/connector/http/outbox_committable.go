package httpio

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/gorge-stream/gorge/internal/connector"
)

// parcel names an outbox file and how far it was answered.
type parcel struct {
	File     string `json:"file"` // below the folder of all outboxes: "alerts/000000000000000c-0.obx"
	ID       string `json:"id"`   // that its header holds
	Bytes    int64  `json:"bytes"`
	Requests int64  `json:"requests"`
	Rows     int64  `json:"rows"`
	// Next is the first request that is not known to be answered.
	Next int64 `json:"next,omitempty"`
}

// committable is what a checkpoint keeps of the sink, as JSON. Every epoch has one,
// also without rows: by that a checkpoint which says that nothing is owed is told
// from one that has no output any more (see ledger).
type committable struct {
	Version int    `json:"version"`
	Epoch   uint64 `json:"epoch"`
	// New holds the rows of the epoch; nil for none.
	New *parcel `json:"new,omitempty"`
	// Owed are the parcels of earlier epochs that were not answered to the end.
	Owed []parcel `json:"owed,omitempty"`
	// Final: no rows follow.
	Final bool `json:"final,omitempty"`
}

const committableVersion = 1

// parse reads JSON with nothing unknown in it and nothing behind it.
func parse(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}

// check reports what is wrong with a parcel.
func (p *parcel) check() error {
	dir, name := path.Split(p.File)
	dir = strings.TrimSuffix(dir, "/")
	id, err := hex.DecodeString(p.ID)
	switch {
	case !isName(dir) || !isName(name) || !strings.HasSuffix(name, parcelExt):
		return fmt.Errorf("%q is no file of an outbox", p.File)
	case err != nil || len(id) != len(outboxID{}):
		return fmt.Errorf("%q is no id", p.ID)
	case p.Bytes <= 0 || p.Requests <= 0 || p.Rows < p.Requests || p.Next < 0 || p.Next > p.Requests:
		return fmt.Errorf("the numbers of %s make no sense", p.File)
	}
	return nil
}

// isName reports whether a name stays within its folder.
func isName(s string) bool { return s != "" && s[0] != '.' && !strings.ContainsAny(s, `/\`) }

func (c committable) encode() (connector.Committable, error) {
	c.Version = committableVersion
	return json.Marshal(c)
}

func decodeCommittable(raw connector.Committable) (committable, error) {
	var c committable
	if err := parse(raw, &c); err != nil {
		return c, err
	}
	if c.Version != committableVersion {
		return c, fmt.Errorf("it is of version %d", c.Version)
	}
	if c.New != nil {
		if err := c.New.check(); err != nil {
			return c, err
		}
	}
	return c, checkAll(c.Owed)
}

func checkAll(parcels []parcel) error {
	for i := range parcels {
		if err := parcels[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// decided is what the committables of one checkpoint say together.
type decided struct {
	any   bool // there were some
	final bool
	owed  []parcel // of earlier epochs
	fresh []parcel // of this epoch and of abandoned ones before it
}

// decideAll reads the committables of a checkpoint. Of several the last one knows
// best what was answered; the others are of abandoned epochs and add their rows.
func decideAll(raw []connector.Committable) (decided, error) {
	all := make([]committable, len(raw))
	for i, r := range raw {
		var err error
		if all[i], err = decodeCommittable(r); err != nil {
			return decided{}, err
		}
	}
	slices.SortStableFunc(all, func(a, b committable) int { return cmp.Compare(a.Epoch, b.Epoch) })
	d := decided{any: len(all) > 0}
	for _, c := range all {
		if c.New != nil {
			d.fresh = append(d.fresh, *c.New)
		}
		d.owed, d.final = c.Owed, c.Final
	}
	return d, nil
}

// names reports whether a checkpoint needs a file.
func (d *decided) names(file string) bool {
	is := func(p parcel) bool { return p.File == file }
	return slices.ContainsFunc(d.owed, is) || slices.ContainsFunc(d.fresh, is)
}

// ledger is what the outbox itself keeps durably of what is owed, for the times at
// which no checkpoint tells it: between the end of one run's checkpoints and the
// first of the next run, and when rows were sent behind the last checkpoint of all.
// It counts where the latest checkpoint has no output, and where it is of the same
// epoch; the first commit of a run removes it.
type ledger struct {
	Version int    `json:"version"`
	Epoch   uint64 `json:"epoch"` // whose checkpoint it goes beyond
	// Parcels are owed.
	Parcels []parcel `json:"parcels,omitempty"`
	// Refused is the file with rows that were refused behind the last epoch, "" for none.
	Refused string `json:"refused,omitempty"`
}

const ledgerVersion = 1

// encode returns the JSON behind its checksum.
func (l ledger) encode() ([]byte, error) {
	l.Version = ledgerVersion
	text, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	return append(fmt.Appendf(nil, "%08x\n", crc32.Checksum(text, castagnoli)), text...), nil
}

func decodeLedger(b []byte) (*ledger, error) {
	sum, text, ok := bytes.Cut(b, []byte("\n"))
	if !ok || string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errNoOutbox)
	}
	l := &ledger{}
	err := parse(text, l)
	switch {
	case err != nil:
	case l.Version != ledgerVersion:
		err = fmt.Errorf("it is of version %d", l.Version)
	case l.Refused != "" && !isName(l.Refused):
		err = fmt.Errorf("%q is no name of a file", l.Refused)
	default:
		err = checkAll(l.Parcels)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoOutbox, err)
	}
	return l, nil
}
