// Package delivery names what an edge of a pipeline can hold when the engine
// crashes and recovers. It is vocabulary: it decides nothing.
package delivery

// Guarantee is what an edge, or a path from a source to a sink, can hold.
type Guarantee uint8

// The guarantees, weakest first.
const (
	AtMostOnce Guarantee = iota
	AtLeastOnce
	Idempotent // at least once, with stable ids by which the receiver can drop repetitions
	ExactlyOnce
)

// Names are the words of the pipeline file, by Guarantee.
var Names = []string{"at_most_once", "at_least_once", "idempotent", "exactly_once"}

// String returns the word of the pipeline file.
func (g Guarantee) String() string { return Names[g] }

// Promise is a guarantee with the reason why it is not a stronger one.
type Promise struct {
	Guarantee Guarantee
	Why       string // one sentence, for gorge plan
}
