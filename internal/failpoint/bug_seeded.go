//go:build seeded

package failpoint

import "os"

// BugVariable names the one seeded bug that is switched on.
const BugVariable = "GORGE_BUG"

var bug = os.Getenv(BugVariable)

// Bug reports whether a seeded bug is switched on.
func Bug(name string) bool { return bug == name }
