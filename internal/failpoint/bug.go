//go:build !seeded

package failpoint

// Bug reports whether a seeded bug is switched on: never, but in builds with the
// tag "seeded", by which the test suite proves that it would catch the bug.
func Bug(string) bool { return false }
