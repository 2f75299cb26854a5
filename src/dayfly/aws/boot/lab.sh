# What a machine does whose task is a lab; boot.sh has fetched this file and goes on with it.
# shellcheck shell=bash disable=SC2154
dir=$W/work at=/dayfly/project
mkdir -p "$dir"
chown "$DAYFLY_USER" "$dir"
common "dayfly-$ID-unpack"
docker run "${ARGS[@]}" --network none --mount "type=bind,source=$dir,target=$at" --mount "$BUNDLE" "${PYTHON[@]}" -c '
import pathlib, sys
from dayfly.snapshot.unpack import unpack_bundle
unpack_bundle(pathlib.Path("/dayfly/snapshot.bundle"), pathlib.Path(sys.argv[1]), commit=sys.argv[2])' \
  "$at" "$DAYFLY_COMMIT"
keeper "$dir" "$at" dayfly.keeper.lab "$at" "$BUCKET" "$DAYFLY_PREFIX/work"

# The token is made here and is in no argument, event or log.
JUPYTER_TOKEN=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
export JUPYTER_TOKEN
notebook "$dir" "$at"
if [[ ! $DAYFLY_HOME ]]; then # the image has none for this user: one that lives as long as the lab
  ARGS+=(--env HOME=/dayfly/home --tmpfs "/dayfly/home:rw,exec,mode=1777")
fi
docker run "${ARGS[@]}" --init --workdir "$at" --env JUPYTER_TOKEN --publish 127.0.0.1:8888:8888 "${PYTHON[@]}" -c '
import os, sys
from dayfly.runner.probe import find_python
python = find_python(os.environ)["executable"]
os.execv(python, [python, "-m", "jupyterlab", *sys.argv[1:]])' \
  --no-browser --ip=0.0.0.0 --port=8888 --ServerApp.port_retries=0 --ServerApp.root_dir="$at" --allow-root \
  --ServerApp.shutdown_no_activity_timeout="$DAYFLY_IDLE_SECONDS" \
  --MappingKernelManager.cull_idle_timeout="$DAYFLY_IDLE_SECONDS" --MappingKernelManager.cull_connected=True \
  --MappingKernelManager.cull_interval=60 --TerminalManager.cull_inactive_timeout="$DAYFLY_IDLE_SECONDS" &
jupyter=$!
until curl -fs -o /dev/null http://127.0.0.1:8888/api; do
  kill -0 "$jupyter" # it has ended: the lab has failed, and its log says why
  sleep 1
done
printf '{"token": "%s", "port": 8888}\n' "$JUPYTER_TOKEN" | "${S3[@]}" - "$STORE/server.json"
begun
wait "$jupyter" || warn "JupyterLab ended with code $?."
docker stop --time 120 "dayfly-$ID-keeper" >/dev/null
saved
push_all
printf '{"state": "succeeded", "message": "JupyterLab has ended; what was changed is under work/."}\n' |
  "${S3[@]}" - "$STORE/result.json"
