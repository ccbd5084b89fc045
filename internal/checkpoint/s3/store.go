// Package s3 keeps checkpoints in a bucket of Amazon S3 or of a server that speaks its protocol.
//
// An object is <folder>/chunks/<name> or <folder>/manifests/<name>. From how it is
// written follows:
//
//  1. A claim is one put on the condition that the name is free (If-None-Match: *), never an
//     upload in parts, for which many servers ignore the condition. Open tries it out.
//  2. A claim carries a random mark. When its answer is lost, the mark of the object that is
//     there tells whether this claim or another took the name; nothing is guessed.
//  3. Everything is repeated a bounded number of times with growing pauses, as long as
//     the context lasts.
//
// Credentials come from where Amazon's tools look for them and are part of no error.
//
// The package does not know what the objects mean.
package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
	"github.com/gorge-stream/gorge/internal/failpoint"
)

var (
	objectPut     = failpoint.New("checkpoint-s3/object-put")
	claimBegun    = failpoint.New("checkpoint-s3/claim-begun")
	claimAnswered = failpoint.New("checkpoint-s3/claim-answered")
	objectDeleted = failpoint.New("checkpoint-s3/object-deleted")
)

const (
	attempts       = 6
	firstPause     = 100 * time.Millisecond // doubled every time
	longestPause   = 3 * time.Second
	slowestBytes   = 1 << 20  // per second; a large object gets more time
	singlePutBytes = 64 << 20 // larger chunks are uploaded in parts of this size
	largestObject  = 5 << 30  // the most that a single put can hold
	deletions      = 8        // at the same time
	listPages      = 20       // a list may take as long as this many slow requests

	// markHeader is the metadata with the mark of a claim.
	markHeader = "Gorge-Claim"
)

// Store is one folder of a bucket. Its methods may be called by any goroutine.
type Store struct {
	client   minio.Core
	at       location
	writes   bool // opened by an engine
	idle     func()
	pause    func(ctx context.Context, attempt int) error
	patience time.Duration // with one request, beside the time for its bytes
}

var _ checkpoint.Store = (*Store)(nil)

// pause waits before another attempt, at random so that several do not come at once.
func pause(ctx context.Context, attempt int) error {
	longest := min(firstPause<<(attempt-1), longestPause)
	t := time.NewTimer(longest/2 + mathrand.N(longest/2))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// timeFor bounds one request that moves size bytes.
func (s *Store) timeFor(size int64) time.Duration {
	return s.patience + time.Duration(size/slowestBytes)*time.Second
}

// once makes one attempt of a request.
func once(ctx context.Context, limit time.Duration, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return request(ctx)
}

// repeat makes a request that does no harm when it is repeated. Its error is the server's, or the context's.
func (s *Store) repeat(ctx context.Context, limit time.Duration, request func(context.Context) error) error {
	var err error
	for attempt := range attempts {
		if attempt > 0 {
			if stop := s.pause(ctx, attempt); stop != nil {
				return fmt.Errorf("%w, after: %w", stop, err)
			}
		}
		if err = once(ctx, limit, request); err == nil {
			return nil
		}
		if stop := ctx.Err(); stop != nil {
			return fmt.Errorf("%w: %w", stop, err)
		}
		if !passing(err) {
			return err
		}
	}
	return err
}

// report turns the last error of a request into one for the caller.
func (s *Store) report(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	return s.explain(err)
}

// Put implements checkpoint.Store.
func (s *Store) Put(ctx context.Context, name string, data []byte) error {
	if err := s.mayWrite(ctx, name); err != nil {
		return err
	}
	err := s.repeat(ctx, s.timeFor(int64(len(data))), func(ctx context.Context) error {
		return s.upload(ctx, s.at.prefix+name, data, minio.PutObjectOptions{PartSize: singlePutBytes})
	})
	objectPut.Hit()
	return s.report(ctx, err)
}

// Claim implements checkpoint.Store.
func (s *Store) Claim(ctx context.Context, name string, data []byte) error {
	if err := s.mayWrite(ctx, name); err != nil {
		return err
	}
	claimBegun.Hit()
	err := s.claim(ctx, s.at.prefix+name, data, rand.Text())
	claimAnswered.Hit()
	return err
}

// claim takes a key for one of all who try, and marks it.
func (s *Store) claim(ctx context.Context, key string, data []byte, mark string) error {
	var err error
	unanswered := false // an earlier attempt may have taken the key
	for attempt := range attempts {
		if attempt > 0 {
			if stop := s.pause(ctx, attempt); stop != nil {
				return s.unknown(key, fmt.Errorf("%w, after: %w", stop, err))
			}
		}
		err = once(ctx, s.timeFor(int64(len(data))), func(ctx context.Context) error { return s.putIfAbsent(ctx, key, data, mark) })
		switch {
		case err == nil:
			return nil
		case taken(err) && (!unanswered || failpoint.Bug("checkpoint-s3-late-claim-is-anothers")):
			return fmt.Errorf("%s in %s: %w", key, s.at.bucket, checkpoint.ErrExists)
		case notImplemented(err):
			return s.noClaims(err)
		case !taken(err) && !passing(err):
			return s.report(ctx, err)
		}
		unanswered = true
		holder, askErr := s.holder(ctx, key)
		switch {
		case askErr != nil:
			return s.unknown(key, errors.Join(err, askErr))
		case holder == mark:
			return nil
		case holder != nobody:
			return fmt.Errorf("%s in %s: %w", key, s.at.bucket, checkpoint.ErrExists)
		}
	}
	return s.unknown(key, err)
}

func (s *Store) putIfAbsent(ctx context.Context, key string, data []byte, mark string) error {
	options := minio.PutObjectOptions{DisableMultipart: true, UserMetadata: map[string]string{markHeader: mark}}
	if !failpoint.Bug("checkpoint-s3-claim-without-condition") {
		options.SetMatchETagExcept("*")
	}
	err := s.upload(ctx, key, data, options)
	if err != nil && !taken(err) && failpoint.Bug("checkpoint-s3-lost-answer-is-success") {
		return nil
	}
	return err
}

// upload sends bytes with their MD5, which every server checks, and which is signed. The
// signature in every chunk of the body, the other way, is not known to all servers.
func (s *Store) upload(ctx context.Context, key string, data []byte, options minio.PutObjectOptions) error {
	options.SendContentMd5, options.DisableContentSha256 = true, true
	_, err := s.client.Client.PutObject(ctx, s.at.bucket, key, bytes.NewReader(data), int64(len(data)), options)
	return err
}

// nobody is the holder of a key that is free.
const nobody = ""

// holder returns the mark of who claimed a key; an object without one has the mark "?".
func (s *Store) holder(ctx context.Context, key string) (string, error) {
	mark := nobody
	err := s.repeat(ctx, s.timeFor(0), func(ctx context.Context) error {
		info, err := s.client.StatObject(ctx, s.at.bucket, key, minio.StatObjectOptions{})
		if missing(err) {
			return nil
		}
		if mark = info.UserMetadata[markHeader]; err == nil && mark == "" {
			mark = "?"
		}
		return err
	})
	return mark, s.report(ctx, err)
}

func (s *Store) unknown(key string, cause error) error {
	return diag.New("checkpoint/claim-unknown", "the checkpoint store %s does not say whether %s was taken", s.at, strings.TrimPrefix(key, s.at.prefix)).WithCause(cause).
		WithHint("start the pipeline again when %s answers: it looks at what was decided", s.at.endpoint)
}

func (s *Store) mayWrite(ctx context.Context, name string) error {
	if err := checkpoint.CheckName(name); err != nil {
		return err
	}
	if !s.writes {
		return fmt.Errorf("the checkpoint store %s was opened to read only", s.at)
	}
	return ctx.Err()
}

// Get implements checkpoint.Store.
func (s *Store) Get(ctx context.Context, name string) ([]byte, error) {
	if err := checkpoint.CheckName(name); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var data []byte
	err := s.repeat(ctx, s.timeFor(largestObject), func(ctx context.Context) (err error) {
		data, err = s.download(ctx, s.at.prefix+name)
		return err
	})
	if missing(err) {
		return nil, fmt.Errorf("%s in %s: %w", name, s.at, checkpoint.ErrNotFound)
	}
	if err != nil {
		return nil, s.report(ctx, err)
	}
	return data, nil
}

func (s *Store) download(ctx context.Context, key string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// How long it may take is known when the size is.
	limit := time.AfterFunc(s.timeFor(0), cancel)
	defer limit.Stop()
	body, info, _, err := s.client.GetObject(ctx, s.at.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // it was only read
	if info.Size < 0 || info.Size > largestObject {
		return nil, fmt.Errorf("the server says that %s has %d bytes", key, info.Size)
	}
	limit.Reset(s.timeFor(info.Size))
	data := make([]byte, info.Size)
	if _, err := io.ReadFull(body, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return data, nil
}

// List implements checkpoint.Store. Objects whose names are none of ours are left out.
func (s *Store) List(ctx context.Context, prefix string) ([]checkpoint.Object, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []checkpoint.Object
	err := s.repeat(ctx, listPages*s.timeFor(0), func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		limit := time.AfterFunc(s.timeFor(0), cancel) // for one page
		defer limit.Stop()
		out = nil
		options := minio.ListObjectsOptions{Prefix: s.at.prefix + prefix, Recursive: true}
		for o := range s.client.ListObjectsIter(ctx, s.at.bucket, options) {
			if o.Err != nil {
				return o.Err
			}
			limit.Reset(s.timeFor(0))
			name := strings.TrimPrefix(o.Key, s.at.prefix)
			if checkpoint.CheckName(name) == nil {
				out = append(out, checkpoint.Object{Name: name, Size: o.Size, Written: o.LastModified})
			}
		}
		return nil
	})
	if err != nil {
		return nil, s.report(ctx, err)
	}
	slices.SortFunc(out, func(a, b checkpoint.Object) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Delete implements checkpoint.Store.
func (s *Store) Delete(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := s.mayWrite(ctx, name); err != nil {
			return err
		}
	}
	failures := make([]error, min(deletions, len(names)))
	var all sync.WaitGroup
	for w := range failures {
		all.Go(func() {
			for i := w; i < len(names) && failures[w] == nil; i += len(failures) {
				failures[w] = s.remove(ctx, s.at.prefix+names[i])
				objectDeleted.Hit()
			}
		})
	}
	all.Wait()
	return errors.Join(failures...)
}

// remove deletes one key; one that is not there is fine.
func (s *Store) remove(ctx context.Context, key string) error {
	err := s.repeat(ctx, s.timeFor(0), func(ctx context.Context) error {
		err := s.client.RemoveObject(ctx, s.at.bucket, key, minio.RemoveObjectOptions{})
		if missing(err) {
			return nil
		}
		return err
	})
	return s.report(ctx, err)
}

// Close gives up the connections.
func (s *Store) Close() error {
	s.idle()
	return nil
}
