//go:build race

package expr

// underRace says that the race detector is on: then sync.Pool, which package
// regexp uses, drops what it is given at random, and allocations cannot be counted.
const underRace = true
