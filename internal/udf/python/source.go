package python

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	gorgepy "github.com/gorge-stream/gorge/python"
)

// archive returns the source of the worker as a sealed zip file in memory:
// nothing is written to disk, nobody can change it, and it needs no cleaning up.
func archive() (*os.File, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	err := fs.WalkDir(gorgepy.Source, "src", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := gorgepy.Source.ReadFile(path)
		if err != nil {
			return err
		}
		// Stored: an interpreter without zlib can read it as well.
		w, err := z.CreateHeader(&zip.FileHeader{Name: strings.TrimPrefix(path, "src/"), Method: zip.Store})
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("pack the worker: %w", err)
	}
	fd, err := unix.MemfdCreate("gorge-udf-source", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "gorge-udf-source")
	if _, err := f.Write(b.Bytes()); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("pack the worker: %w", err)
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("seal the worker: %w", err)
	}
	return f, nil
}
