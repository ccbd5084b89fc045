// Package snapshot brings cuts of keyed state into a checkpoint store and back:
// the format of segments (docs/formats/segment.md), what is written whole and what as
// changes, and the restore for any range of key groups.
//
// It knows chunks of state and objects of a store. It does not know operators,
// what records mean, or who decides that a checkpoint counts.
package snapshot
