package checkpoint

import (
	"strings"
	"testing"
)

func TestNamesThatEveryStoreCanKeep(t *testing.T) {
	for _, name := range []string{"manifests/0000000000000001", "chunks/" + strings.Repeat("e3", 32), "chunks/a", "chunks/a.b-c_d"} {
		if err := CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{
		"", "/", "chunks", "chunks/", "/chunks/a", "chunks//a", "chunks/a/b", "chunks/..", "chunks/.a", "../chunks/a", "chunks/../manifests/a",
		"other/a", "Chunks/a", "chunks/A", "chunks/a b", "chunks/a\\b", "chunks/a\x00", "chunks/é", "chunks/a?b", "chunks/" + strings.Repeat("a", 101),
	} {
		if err := CheckName(name); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}
