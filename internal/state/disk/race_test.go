//go:build race

package disk

// Under the race detector everything is ten times slower.
const race, scale = true, 10
