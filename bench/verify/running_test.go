package verify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunning(t *testing.T) {
	r := NewRunning(2)
	r.Add(0, 5, true)
	r.Add(1, 7, false)
	r.Add(1, 2, true)
	r.Add(0, 1, true)
	const head = "device_id,n,total\n"
	for _, c := range []struct {
		name  string
		files []string
		want  string // of the error; empty: none
	}{
		{"exact", []string{head + "dev-0000000,1,5\ndev-0000001,2,9\n", head + "dev-0000000,2,6\n"}, ""},
		{"missing", []string{head + "dev-0000000,1,5\n"}, "1 of 3"},
		{"twice", []string{head + "dev-0000000,1,5\n", head + "dev-0000000,1,5\n"}, "twice"},
		{"wrong total", []string{head + "dev-0000000,2,7\n"}, "wrong"},
		{"not due", []string{head + "dev-0000001,1,7\n"}, "wrong"},
		{"torn", []string{head + "dev-0000"}, "no row"},
		{"header", []string{"a,b\n"}, "header"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for i, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".csv"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			n, err := r.Folder(dir)
			if c.want == "" && (err != nil || n != 3) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%d rows, %v, want %q", n, err, c.want)
			}
		})
	}
}
