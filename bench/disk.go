package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// disk is how long this machine takes to make appended bytes durable: no figure
// about durability means anything without it.
type disk struct {
	small distribution // 4 KiB
	large distribution // 8 MiB, the size of a segment of state
}

// probeDisk measures the disk that holds the folder.
func probeDisk(dir string) (disk, error) {
	var d disk
	var err error
	if d.small, err = syncTimes(dir, 4<<10, 500); err == nil {
		d.large, err = syncTimes(dir, 8<<20, 20)
	}
	return d, err
}

// syncTimes appends n pieces to a new file and times the fsync of each.
func syncTimes(dir string, size, n int) (_ distribution, err error) {
	name := filepath.Join(dir, "probe")
	f, err := os.Create(name)
	if err != nil {
		return distribution{}, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
	piece := make([]byte, size)
	var took []time.Duration
	for range n {
		if _, err := f.Write(piece); err != nil {
			return distribution{}, err
		}
		begin := time.Now()
		if err := f.Sync(); err != nil {
			return distribution{}, err
		}
		took = append(took, time.Since(begin))
	}
	return summarise(took), nil
}

func (d disk) String() string {
	return fmt.Sprintf("fsync on this disk: 4 KiB p50 %s ms, p99 %s ms; 8 MiB p50 %s ms, p99 %s ms",
		figure(ms(d.small.p50)), figure(ms(d.small.p99)), figure(ms(d.large.p50)), figure(ms(d.large.p99)))
}
