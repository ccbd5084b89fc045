package s3

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/gorge-stream/gorge/internal/diag"
)

// wantCode fails unless err has the code and the part, a hint, and no secret.
func wantCode(t *testing.T, err error, code diag.Code, part string) {
	t.Helper()
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("got %v, want the code %s and %s", err, code, part)
	}
	text := diag.Format(e) + err.Error()
	if e.Hint == "" {
		t.Errorf("no hint in:\n%s", text)
	}
	for _, secret := range []string{testSecret, "pa55word"} {
		if strings.Contains(text, secret) {
			t.Errorf("a secret is in:\n%s", text)
		}
	}
}

func wantText(t *testing.T, err error, code diag.Code, parts ...string) {
	t.Helper()
	wantCode(t, err, code, "")
	for _, p := range parts {
		if text := diag.Format(err); !strings.Contains(text, p) {
			t.Errorf("no %q in:\n%s", p, text)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Setenv("AWS_REGION", "eu-north-1")
	for raw, want := range map[string]location{
		"s3://states":                    {bucket: "states", endpoint: amazon, secure: true, region: "eu-north-1"},
		"s3://my.states/a/b/?region=x-1": {bucket: "my.states", prefix: "a/b/", endpoint: amazon, secure: true, region: "x-1"},
		"s3://states/a?endpoint=http://127.0.0.1:9000&path_style=true": {
			bucket: "states", prefix: "a/", endpoint: "127.0.0.1:9000", region: "eu-north-1", lookup: 2},
		"s3://states?endpoint=s3.example.com:444": {bucket: "states", endpoint: "s3.example.com:444", secure: true, region: "eu-north-1"},
		"s3://states?endpoint=https://s3.example.com/&path_style=false": {
			bucket: "states", endpoint: "s3.example.com", secure: true, region: "eu-north-1", lookup: 1},
	} {
		if got, err := parse(raw); err != nil || got != want {
			t.Errorf("%s is %+v, %v, want %+v", raw, got, err, want)
		}
	}
	for _, raw := range []string{
		"", "states", "http://states", "s3:states", "s3://", "s3://a", "s3://UPPER", "s3://states:80/", "s3://states/a//b", "s3://states/../b", "s3://states/a b", "s3://states/%00",
		"s3://key:pa55word@states/a", "s3://states/a#pa55word", "s3://states?bucket=x", "s3://states?region=x&region=y", "s3://states?region=", "s3://states?region=a%20b",
		"s3://states?path_style=yes", "s3://states?endpoint=", "s3://states?endpoint=a:pa55word@host", "s3://states?endpoint=ftp://host", "s3://states?endpoint=http://host/path",
		"s3://states?endpoint=http://a:pa55word@host", "s3://states?%zz", "s3://states/" + strings.Repeat("a", 600), "s3://%zz:pa55word@x",
	} {
		_, err := parse(raw)
		wantCode(t, err, "checkpoint/store-url", raw)
	}
}

func FuzzURL(f *testing.F) {
	f.Add("s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&path_style=true")
	f.Add("s3://a:b@bucket")
	f.Fuzz(func(t *testing.T, raw string) {
		l, err := parse(raw)
		if err != nil {
			return
		}
		if strings.Contains("/"+l.prefix, "/../") || strings.ContainsAny(l.bucket, "/@:") || l.endpoint == "" || l.region == "" {
			t.Errorf("%q is %+v", raw, l)
		}
	})
}

func TestWhatCannotBeOpened(t *testing.T) {
	v := serve(t)
	open := func() error {
		s, err := Open(t.Context(), v.url("/j"))
		if err == nil {
			_ = s.Close()
		}
		return err
	}
	answers := func(method string, status int, code string) {
		v.rewrite = func(inner http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == method {
					refuse(w, status, code)
					return
				}
				inner.ServeHTTP(w, r)
			})
		}
	}
	_, err := Open(t.Context(), strings.Replace(v.url("/j"), bucket, "no-such-bucket", 1))
	wantText(t, err, "checkpoint/bucket", "no-such-bucket", "aws s3 mb s3://no-such-bucket")
	answers(http.MethodGet, http.StatusForbidden, "AccessDenied")
	wantText(t, open(), "checkpoint/access", "s3://states/j", "AccessDenied", "AWS_ACCESS_KEY_ID", "s3:ListBucket")
	answers(http.MethodPut, http.StatusForbidden, "SignatureDoesNotMatch")
	wantText(t, open(), "checkpoint/access", "SignatureDoesNotMatch")
	answers(http.MethodGet, http.StatusBadRequest, "AuthorizationHeaderMalformed")
	wantText(t, open(), "checkpoint/region", "us-east-1", "region=")
	answers(http.MethodPut, http.StatusNotImplemented, "NotImplemented")
	wantText(t, open(), "checkpoint/no-claims", "NotImplemented")
	answers(http.MethodDelete, http.StatusForbidden, "AccessDenied")
	wantText(t, open(), "checkpoint/access", "s3:DeleteObject")
	v.Close()
	wantText(t, open(), "checkpoint/unreachable", v.Listener.Addr().String(), "endpoint=")
}

// A server that ignores the condition of a put, as some do, is refused at the start.
func TestAServerWithoutConditionalPutsIsRefused(t *testing.T) {
	v := serve(t)
	v.rewrite = func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("If-None-Match")
			inner.ServeHTTP(w, r)
		})
	}
	_, err := Open(t.Context(), v.url("/j"))
	wantText(t, err, "checkpoint/no-claims", "cannot keep two engines apart", "If-None-Match")
	if left := v.keys(t); len(left) > 0 {
		t.Errorf("the probe left %q", left)
	}
}

func TestAServerThatForgetsMetadataIsRefused(t *testing.T) {
	v := serve(t)
	v.rewrite = func(inner http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("X-Amz-Meta-" + markHeader)
			inner.ServeHTTP(w, r)
		})
	}
	_, err := Open(t.Context(), v.url("/j"))
	wantText(t, err, "checkpoint/no-claims", "metadata")
}

func TestWithoutCredentialsNothingIsSent(t *testing.T) {
	v := serve(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("HOME", t.TempDir())
	_, err := Open(t.Context(), v.url("/j"))
	wantText(t, err, "checkpoint/credentials", "AWS_ACCESS_KEY_ID", "AWS_PROFILE")
	if v.seen(http.MethodGet) > 0 {
		t.Error("a request was sent")
	}
}
