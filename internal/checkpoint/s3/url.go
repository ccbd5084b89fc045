package s3

import (
	"net/url"
	"os"
	"regexp"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/gorge-stream/gorge/internal/diag"
)

// location is where a store is.
type location struct {
	bucket   string
	prefix   string // empty, or ends with a slash
	endpoint string // host and port
	secure   bool
	region   string
	lookup   minio.BucketLookupType
}

// String returns the location without anything that could be secret.
func (l location) String() string { return strings.TrimSuffix("s3://"+l.bucket+"/"+l.prefix, "/") }

const amazon = "s3.amazonaws.com"

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixName = regexp.MustCompile(`^[A-Za-z0-9._=-]+(/[A-Za-z0-9._=-]+)*$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]+$`)
)

// parse reads "s3://bucket/prefix?endpoint=http://127.0.0.1:9000&region=us-east-1&path_style=true".
func parse(raw string) (location, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "s3" || u.Opaque != "" || u.Fragment != "" {
		return location{}, refuseURL("the URL of the checkpoint store is none of a bucket") // raw may hold a password
	}
	if u.User != nil {
		return location{}, refuseURL("the URL of the checkpoint store holds credentials").
			WithHint("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead; a URL is printed and logged")
	}
	l := location{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), endpoint: amazon, secure: true, region: environmentRegion()}
	if !bucketName.MatchString(l.bucket) {
		return location{}, refuseURL("%q cannot be the name of a bucket", l.bucket)
	}
	if l.prefix != "" {
		if !prefixName.MatchString(l.prefix) || strings.Contains("/"+l.prefix+"/", "/./") || strings.Contains("/"+l.prefix+"/", "/../") || len(l.prefix) > 500 {
			return location{}, refuseURL("%.100q cannot be the folder of a checkpoint store", l.prefix)
		}
		l.prefix += "/"
	}
	settings, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return location{}, refuseURL("the settings behind the ? in the URL of the checkpoint store %s cannot be read", l)
	}
	for key, values := range settings {
		if err := l.set(key, values); err != nil {
			return location{}, err
		}
	}
	return l, nil
}

// set applies one setting of the URL.
func (l *location) set(key string, values []string) error {
	if len(values) != 1 {
		return refuseURL("%s is set %d times in the URL of the checkpoint store %s", key, len(values), l)
	}
	v := values[0]
	switch key {
	case "endpoint":
		if !strings.Contains(v, "://") {
			v = "https://" + v
		}
		e, err := url.Parse(v)
		if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || strings.Trim(e.Path, "/") != "" || e.RawQuery != "" || e.User != nil {
			return refuseURL("endpoint= of the checkpoint store %s is no URL of a server", l).WithHint("write endpoint=http://127.0.0.1:9000 or endpoint=https://host")
		}
		l.endpoint, l.secure = e.Host, e.Scheme == "https"
	case "region":
		if !regionName.MatchString(v) {
			return refuseURL("%q cannot be a region", v)
		}
		l.region = v
	case "path_style":
		switch v {
		case "true":
			l.lookup = minio.BucketLookupPath
		case "false":
			l.lookup = minio.BucketLookupDNS
		default:
			return refuseURL("path_style= of the checkpoint store %s is true or false", l)
		}
	default:
		return refuseURL("there is no setting %.50q in the URL of the checkpoint store %s", key, l)
	}
	return nil
}

// environmentRegion is the region of the usual variables.
func environmentRegion() string {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if r := os.Getenv(name); regionName.MatchString(r) {
			return r
		}
	}
	return "us-east-1"
}

func refuseURL(format string, args ...any) *diag.Error {
	return diag.New("checkpoint/store-url", format, args...).
		WithHint("write s3://BUCKET/FOLDER, and for servers other than Amazon's s3://BUCKET/FOLDER?endpoint=https://HOST&region=REGION&path_style=true")
}
