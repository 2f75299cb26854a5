#!/bin/sh
# Makes /opt/dayfly: dayfly's own virtual environment, beside whatever the image has, from the image's Python.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
unset PYTHONPATH PYTHONHOME PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_NO_BINARY PIP_CONSTRAINT \
	PIP_REQUIRE_VIRTUALENV
umask 022
export PIP_CACHE_DIR=/root/.cache/pip

python=
for name in python3 python3.13 python3.12 python3.11 python3.10 python /opt/conda/bin/python3; do
	found=$(command -v "$name") || continue
	if "$found" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
		python=$found
		break
	fi
done
if [ -z "$python" ]; then
	echo "dayfly: there is no Python 3.10 or newer in this image." >&2
	exit 3
fi
echo "dayfly: its layer is made with $python ($("$python" --version))"

"$python" -m venv --without-pip /opt/dayfly
"$python" "$here/pip" --python /opt/dayfly/bin/python install --quiet --disable-pip-version-check \
	--no-input --no-compile --require-hashes --only-binary :all: --no-deps -r "$here/layer.lock"

site=$(/opt/dayfly/bin/python -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cp -R "$here/dayfly" "$site/dayfly"
# Tests that packages bring along: a fifth of the layer.
rm -rf "$site"/zmq/tests "$site"/tornado/test "$site"/dulwich/tests "$site"/nbformat/tests
find "$site/dayfly" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
# Never compared with the sources' times, which a copy may change.
/opt/dayfly/bin/python -I -m compileall -q --invalidation-mode unchecked-hash "$site"
/opt/dayfly/bin/python -I -c "import dayfly.keeper.keep, dayfly.runner.main, dayfly.runner.probe"
