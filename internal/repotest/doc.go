// Package repotest holds the rules of the house as tests: which package may
// import which, what must be documented, how long files and functions may be,
// where clocks and goroutines are allowed, and which leaks every package checks.
//
// It has no code outside its tests. A rule is a function from the tree to
// findings; a finding says what to do about it. Each rule is tested against a
// small tree that breaks it, in testdata, so that a rule cannot rot into silence.
//
// The package knows source text only. It does not build or run anything.
package repotest
