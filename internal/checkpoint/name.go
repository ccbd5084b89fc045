package checkpoint

import (
	"fmt"
	"slices"
	"strings"
)

// Folders are the first parts of the names of objects.
var Folders = []string{"chunks", "manifests"}

// longestName is the most bytes in the second part of a name; a SHA-256 in hex has 64.
const longestName = 100

// CheckName refuses names that no store keeps. A name is one of Folders, a slash, and small
// letters, digits, '-', '_' and '.', the last not in front: it is the same on every
// file system and in every URL. Every method of a store applies it.
func CheckName(name string) error {
	folder, leaf, _ := strings.Cut(name, "/")
	if !slices.Contains(Folders, folder) || leaf == "" || leaf[0] == '.' || len(leaf) > longestName {
		return fmt.Errorf("%.200q cannot be the name of an object", name)
	}
	for _, c := range []byte(leaf) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("%.200q cannot be the name of an object", name)
		}
	}
	return nil
}
