package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/gorge-stream/gorge/internal/diag"
)

// answer returns what the server said, or false when it said nothing.
func answer(err error) (minio.ErrorResponse, bool) {
	var r minio.ErrorResponse
	ok := errors.As(err, &r)
	return r, ok
}

// missing reports that there is no such object, in a bucket that is there.
func missing(err error) bool {
	r, ok := answer(err)
	return ok && r.StatusCode == http.StatusNotFound && r.Code != minio.NoSuchBucket
}

// taken reports that a conditional put found the name taken.
func taken(err error) bool {
	r, ok := answer(err)
	return ok && r.StatusCode == http.StatusPreconditionFailed
}

// notImplemented reports that the server knows no such condition.
func notImplemented(err error) bool {
	r, ok := answer(err)
	return ok && r.StatusCode == http.StatusNotImplemented
}

// passing reports that the same request may succeed a little later. No answer
// at all counts, and 409: two conditional puts met.
func passing(err error) bool {
	r, ok := answer(err)
	if !ok {
		return !mistrusted(err)
	}
	switch r.StatusCode {
	case http.StatusConflict, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return r.StatusCode >= 500 && r.StatusCode != http.StatusNotImplemented || r.Code == "RequestTimeout" || r.Code == "ExpiredToken"
}

// mistrusted reports that the two sides do not agree about TLS.
func mistrusted(err error) bool {
	var (
		authority   x509.UnknownAuthorityError
		host        x509.HostnameError
		certificate x509.CertificateInvalidError
	)
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &certificate) ||
		strings.Contains(err.Error(), "HTTP response to HTTPS client")
}

// explain turns the error of a request into one for a person.
func (s *Store) explain(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it did not answer in time") // our own limit: the caller's context is as it was
	}
	r, ok := answer(err)
	if !ok {
		return diag.New("checkpoint/unreachable", "the checkpoint store %s cannot be reached", s.at).WithCause(err).
			WithHint("check that %s is up and that endpoint= in the URL is right, with http:// or https://", s.at.endpoint)
	}
	cause := fmt.Errorf("%s: %s", r.Code, r.Error())
	switch {
	case r.Code == minio.NoSuchBucket:
		return diag.New("checkpoint/bucket", "there is no bucket %s", s.at.bucket).WithCause(cause).
			WithHint("make it: aws s3 mb s3://%s; or correct the bucket, endpoint= or region= in the URL", s.at.bucket)
	case r.StatusCode == http.StatusMovedPermanently, r.Code == minio.AuthorizationHeaderMalformed, r.Code == minio.InvalidRegion:
		return diag.New("checkpoint/region", "the bucket %s is not in the region %s", s.at.bucket, s.at.region).WithCause(cause).
			WithHint("set region= in the URL, or AWS_REGION")
	case r.StatusCode == http.StatusForbidden, r.StatusCode == http.StatusUnauthorized:
		return diag.New("checkpoint/access", "the checkpoint store %s refuses access", s.at).WithCause(cause).
			WithHint("check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; needed are s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload")
	}
	return diag.New("checkpoint/store-failed", "the checkpoint store %s cannot do what it was asked", s.at).WithCause(cause).
		WithHint("look at the log of %s", s.at.endpoint)
}
