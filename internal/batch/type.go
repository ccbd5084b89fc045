package batch

import (
	"fmt"
	"math"
	"strings"
)

// Kind is the type of a column.
type Kind uint8

// The kinds. Decimal, List and Struct have their numbers reserved for the
// formats that need them.
const (
	Invalid   Kind = iota
	Bool           // one bit a row
	Int32          // 4 bytes
	Int64          // 8 bytes
	Float32        // 4 bytes, IEEE 754
	Float64        // 8 bytes, IEEE 754
	String         // 16-byte view of UTF-8 text
	Binary         // 16-byte view of any bytes
	Timestamp      // 8 bytes, microseconds since 1970-01-01T00:00:00Z, may be negative
)

var kindNames = [...]string{"invalid", "bool", "int32", "int64", "float32", "float64", "string", "binary", "timestamp"}

// String returns the name of the kind as the pipeline file writes it.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind returns the kind with the given name, or Invalid.
func ParseKind(name string) Kind {
	for i, n := range kindNames {
		if i > 0 && n == name {
			return Kind(i)
		}
	}
	return Invalid
}

// Width returns the bytes that a value takes in the fixed-width buffer; 0 for Bool, which takes a bit.
func (k Kind) Width() int {
	switch k {
	case Int32, Float32:
		return 4
	case Int64, Float64, Timestamp:
		return 8
	case String, Binary:
		return 16
	}
	return 0
}

// Numeric reports whether arithmetic is defined on the kind.
func (k Kind) Numeric() bool { return k >= Int32 && k <= Float64 }

// Views reports whether the values are views of bytes.
func (k Kind) Views() bool { return k == String || k == Binary }

// Time is an instant in event time: microseconds since 1970-01-01T00:00:00Z.
type Time = int64

// The ends of time. MinTime stands for "before everything" and MaxTime, as a
// watermark, for the end of the input.
const (
	MinTime Time = math.MinInt64
	MaxTime Time = math.MaxInt64
)

// Field is the declaration of one column.
type Field struct {
	Name string
	Kind Kind
	// Nullable is false when no row can be null; then the validity bits are all 1.
	Nullable bool
}

// Schema is an ordered list of fields. A schema is constant after construction.
type Schema struct {
	Fields []Field
	// Time is the index of the column that holds the event time, or -1. That
	// column is a Timestamp without nulls. Its name is empty where the user
	// cannot see it (the engine carries it although no later step names it).
	Time int
}

// Index returns the position of the named column, or -1.
func (s *Schema) Index(name string) int {
	for i := range s.Fields {
		if s.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// Names returns the names of the visible columns in order.
func (s *Schema) Names() []string {
	var out []string
	for _, f := range s.Fields {
		if f.Name != "" {
			out = append(out, f.Name)
		}
	}
	return out
}

// String writes the schema as "name kind, ...", with "?" behind a nullable kind.
func (s *Schema) String() string {
	var b strings.Builder
	for i, f := range s.Fields {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %s", f.Name, f.Kind)
		if f.Nullable {
			b.WriteByte('?')
		}
	}
	return b.String()
}
