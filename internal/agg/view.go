package agg

import (
	"unsafe"

	"github.com/gorge-stream/gorge/internal/record"
)

// viewAt returns the address of words 0 and 1 of a record, which have the layout of a batch.View.
func viewAt(b record.Block, r record.Ref) unsafe.Pointer { return unsafe.Pointer(b.Word(r, 0)) }
