#!/bin/sh
# venv.sh: makes .venv with the pinned tools of python/requirements-dev.txt and the gorge package from python/, editable.
# It does nothing while both are as they were.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/.installed
want=$(cat python/requirements-dev.txt python/pyproject.toml | cksum)
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then exit 0; fi

if ! .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
	python=$(scripts/python.sh)
	echo "making .venv with $python ($("$python" -c 'import platform; print(platform.python_version())')) ..." >&2
	"$python" -m venv --clear .venv
fi
echo "installing python/requirements-dev.txt into .venv ..." >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r python/requirements-dev.txt
.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable python
echo "$want" >"$stamp"
