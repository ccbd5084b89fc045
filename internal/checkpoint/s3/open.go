package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/gorge-stream/gorge/internal/checkpoint"
	"github.com/gorge-stream/gorge/internal/diag"
)

// answerTimeout is how long a server may take to begin its answer.
const answerTimeout = 30 * time.Second

// metadataTimeout bounds a question to the server that knows a machine's role; where there is none it never answers.
const metadataTimeout = 3 * time.Second

// Open opens the store of an engine at a URL such as
// "s3://bucket/folder?endpoint=http://127.0.0.1:9000&region=us-east-1&path_style=true".
// It tries whether the server lets only one of two claimers win, and refuses one
// that does not. The caller closes the store.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	s, err := connect(ctx, rawURL)
	if err != nil {
		return nil, err
	}
	s.writes = true
	if err := s.probe(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// OpenReadOnly opens a store to look at. It needs no right to write.
func OpenReadOnly(ctx context.Context, rawURL string) (*Store, error) { return connect(ctx, rawURL) }

// connect makes the client and sees whether the bucket can be listed.
func connect(ctx context.Context, rawURL string) (*Store, error) {
	at, err := parse(rawURL)
	if err != nil {
		return nil, err
	}
	keys, err := findCredentials(at)
	if err != nil {
		return nil, err
	}
	transport, err := minio.DefaultTransport(at.secure)
	if err != nil {
		return nil, fmt.Errorf("prepare connections to %s: %w", at.endpoint, err)
	}
	transport.ResponseHeaderTimeout = answerTimeout
	// The client's own retries are off: they would repeat a claim whose answer was
	// lost and call the name taken.
	client, err := minio.New(at.endpoint, &minio.Options{
		Creds: keys, Secure: at.secure, Region: at.region, BucketLookup: at.lookup, Transport: transport, MaxRetries: 1,
	})
	if err != nil {
		return nil, refuseURL("the URL of the checkpoint store %s does not work", at).WithCause(err)
	}
	s := &Store{client: minio.Core{Client: client}, at: at, idle: transport.CloseIdleConnections, pause: pause, patience: answerTimeout}
	if _, err := s.List(ctx, "manifests/"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// findCredentials looks where Amazon's tools look: variables, shared files, the role of the machine.
func findCredentials(at location) (*credentials.Credentials, error) {
	providers := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" {
		providers = append(providers, &credentials.IAM{Client: &http.Client{Timeout: metadataTimeout}, Region: at.region})
	}
	keys := credentials.NewChainCredentials(providers)
	v, err := keys.GetWithContext(nil)
	if err != nil || v.AccessKeyID == "" {
		return nil, diag.New("checkpoint/credentials", "there are no credentials for the checkpoint store %s", at).WithCause(err).
			WithHint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	}
	return keys, nil
}

// probe claims a name of its own twice. Some servers ignore the condition of a put
// and let the last one win: two engines on such a store would both go on.
func (s *Store) probe(ctx context.Context) error {
	key, first, second := s.at.prefix+"probe/"+rand.Text(), rand.Text(), rand.Text()
	if err := s.claim(ctx, key, []byte(first), first); err != nil {
		return err
	}
	err := s.claim(ctx, key, []byte(second), second)
	holder, holderErr := s.holder(ctx, key)
	switch {
	case err == nil:
		err = s.noClaims(errors.New("a second put with If-None-Match: * succeeded"))
	case !errors.Is(err, checkpoint.ErrExists):
	case holderErr != nil:
		err = holderErr
	case holder != first:
		err = s.noClaims(errors.New("an object does not come back with the metadata that it was put with"))
	default:
		err = nil
	}
	return errors.Join(err, s.remove(ctx, key))
}

func (s *Store) noClaims(cause error) error {
	return diag.New("checkpoint/no-claims", "the checkpoint store %s cannot keep two engines apart", s.at).WithCause(cause).
		WithHint("use a server that honours conditional writes, as Amazon S3 and versitygw do, or keep checkpoints in a directory")
}
