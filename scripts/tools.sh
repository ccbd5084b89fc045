#!/bin/sh
# tools.sh NAME...: builds the named tools with the project's Go into .tools/bin, once per version of tool and Go.
# golangci-lint refuses to read a module newer than the Go that built it, so it is built here, never downloaded.
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.env

bin=$PWD/.tools/bin
go_version=$(go env GOVERSION)

install() { # name module version
	stamp=.tools/$1-$3-$go_version
	if [ -e "$stamp" ] && [ -x "$bin/$1" ]; then return; fi
	echo "building $1 $3 with $go_version ..." >&2
	mkdir -p "$bin"
	GOBIN=$bin GOFLAGS=-trimpath CGO_ENABLED=0 go install "$2@$3" 2>.tools/"$1".log || { cat .tools/"$1".log >&2; exit 1; }
	rm -f .tools/"$1"-*
	touch "$stamp"
}

for tool; do
	case $tool in
	golangci-lint) install golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint "$GOLANGCI_LINT_VERSION" ;;
	gotestsum) install gotestsum gotest.tools/gotestsum "$GOTESTSUM_VERSION" ;;
	versitygw) install versitygw github.com/versity/versitygw/cmd/versitygw "$VERSITYGW_VERSION" ;;
	*) echo "tools.sh: unknown tool $tool" >&2; exit 2 ;;
	esac
done
