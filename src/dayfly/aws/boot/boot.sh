#!/bin/bash -p
# What a machine of dayfly does: fixed code; values come from machine.env and are never code. `boot.sh` arms the
# end and starts `boot.sh work`, which systemd follows by `boot.sh end`, however it ended (README.md tells more).
set -Eeuo pipefail
OFFSET=$((LINENO - 5)) # the header of the user data is above; lines are told as they are here
ROOT=${DAYFLY_ROOT-}   # where files lie, in tests
PASSED=("${!AWS_@}" ${SSL_CERT_FILE+SSL_CERT_FILE})
umask 077
R=$ROOT/run/dayfly # in memory: telling of the end must not need the disk
W=$ROOT/var/lib/dayfly
STEP=armed REASON=boot_failed
while IFS= read -r line || [[ $line ]]; do
  if [[ $line =~ ^(DAYFLY_[A-Z0-9_]+)=(.*)$ ]]; then printf -v "${BASH_REMATCH[1]}" %s "${BASH_REMATCH[2]}"; fi
done <"$ROOT/etc/dayfly/machine.env"
for pair in DEADLINE_EPOCH=0 BOOT_BUDGET_SECONDS=900 STOP_SECONDS=40 HOLD_SECONDS=0 IDLE_SECONDS=1800 MEMORY_BYTES=0; do
  name=DAYFLY_${pair%=*} # what is no number would be executed by arithmetic
  if [[ ${!name-} =~ ^[0-9]{1,15}$ ]]; then printf -v "$name" %d $((10#${!name})); else printf -v "$name" %s "${pair#*=}"; fi
done
ID=$DAYFLY_MACHINE_ID BUCKET=s3://$DAYFLY_BUCKET STORE=s3://$DAYFLY_BUCKET/$DAYFLY_PREFIX
export LC_ALL=C TZ=UTC HOME=$R DOCKER_CONFIG=$R/docker AWS_PAGER='' AWS_MAX_ATTEMPTS=6 AWS_RETRY_MODE=standard
export AWS_REGION=$DAYFLY_REGION AWS_DEFAULT_REGION=$DAYFLY_REGION
S3=(timeout 300 aws s3 cp --only-show-errors)
OWN=(--entrypoint /opt/dayfly/bin/python "$DAYFLY_IMAGE" -I)
BUNDLE=type=bind,source=$W/snapshot.bundle,target=/dayfly/snapshot.bundle,readonly

uptime_cs() { # in hundredths of a second, whatever the wall clock does
  read -r REPLY _ </proc/uptime
  REPLY=$((10#${REPLY/./}))
}
uptime_cs
T0=$REPLY
json() { # TEXT as it can stand in a string
  REPLY=${1//\\/\\\\}
  REPLY=${REPLY//\"/\\\"}
  REPLY=${REPLY//[!' '-'~']/ }
}
now() { printf -v AT '%(%FT%T)T.%.3sZ' "${EPOCHREALTIME%.*}" "${EPOCHREALTIME#*.}"; }
tell() { # MEMBERS
  now
  echo "{\"at\": \"$AT\", $1}" >>"$R/machine.jsonl"
}
enter() { # STEP [REASON, if it fails]
  STEP=$1 REASON=${2-boot_failed}
  echo "$STEP" >"$R/step"
}
step() { # [DETAIL]: it is done
  local took
  uptime_cs
  printf -v took %03d $((REPLY - T0))
  T0=$REPLY
  json "${1-}"
  tell "\"type\": \"step\", \"step\": \"$STEP\", \"took_s\": ${took%??}.${took: -2}, \"detail\": \"$REPLY\""
}
warn() {
  echo "$1"
  json "$1"
  tell "\"type\": \"warning\", \"message\": \"$REPLY\""
}
record() { # LINE COMMAND: the first failure is the one that is told
  mkdir "$R/failed" || return 0
  json "$2"
  local command=$REPLY
  json "$(tail -c 400 "$R/log")"
  tell "\"type\": \"failed\", \"step\": \"$STEP\", \"line\": $1, \"command\": \"$command\", \"reason\": \"$REASON\", \"message\": \"$REPLY\""
  echo "$REASON" >"$R/failed/reason"
  echo "The machine failed ($REASON, step $STEP) at line $1: $2: $REPLY" >"$R/failed/message"
}
failed() {
  trap - ERR
  echo "line $1 failed: $2"
  record "$1" "$2"
  exit 1
}
trap 'failed $((LINENO - OFFSET)) "$BASH_COMMAND"' ERR
push() { # FILE NAME SUFFIX: upload what is new, as a chunk named by the byte at which it begins
  local size sent=0 name
  size=$(stat -c %s "$1")
  if [[ -e $1.sent ]]; then sent=$(<"$1.sent"); fi
  if ((size <= sent)); then return; fi
  printf -v name %012d "$sent"
  head -c "$size" "$1" | tail -c "+$((sent + 1))" | "${S3[@]}" - "$STORE/$2/$name.$3"
  echo "$size" >"$1.sent"
}
push_all() {
  push "$R/machine.jsonl" machine jsonl
  if [[ -e $R/output ]]; then push "$R/output" log txt; fi
}
beat() { # STATE NUMBER: the object's size says the state (runs/status.py)
  now
  printf "%-$((511 + $2))s\n" "{\"run_id\": \"$ID\", \"state\": \"$1\", \"at\": \"$AT\"}" | "${S3[@]}" - "$BUCKET/status/$ID"
}
report() { # in the background: the stream, and the heart until the keeper has one
  trap - ERR
  set +e
  local said='' count=0 state number
  while :; do
    push_all
    read -r state number <"$R/state"
    if [[ $DAYFLY_TASK == run && ! -e $R/kept ]] && { [[ $said != "$state" ]] || ((count >= 20)); }; then
      (flock 9 && [[ -e $R/kept ]] || beat "$state" "$number") 9>"$R/beat" && said=$state count=0
    fi
    count=$((count + 1))
    sleep 1
  done
}

arm() {
  local left=$((DAYFLY_DEADLINE_EPOCH - EPOCHSECONDS)) timer=(systemd-run --quiet --timer-property=AccuracySec=1s)
  ((left > 0)) || left=1
  # By the monotonic clock: no jump of the wall clock moves the end.
  "${timer[@]}" --unit=dayfly-deadline --on-active="${left}s" systemctl poweroff --force
  "${timer[@]}" --unit=dayfly-deadline-hard --on-active="$((left + 60))s" systemctl poweroff --force --force
  mkdir -p "$R" "$W" "$ROOT/var/log"
  sed -n '/^#!.bin.bash -p$/,$p' "$0" >"$R/boot.sh"
  : >>"$R/log"
  ln -sf "$R/log" "$ROOT/var/log/dayfly.log"
  echo BOOTING 3 >"$R/state"
  enter armed
  step "until $DAYFLY_DEADLINE"
  "${timer[@]}" --unit=dayfly-boot-budget --on-active="${DAYFLY_BOOT_BUDGET_SECONDS}s" --setenv=DAYFLY_ROOT="$ROOT" \
    /bin/bash "$R/boot.sh" late
  systemd-run --quiet --no-block --unit=dayfly-machine "${PASSED[@]/#/--setenv=}" --setenv=DAYFLY_ROOT="$ROOT" \
    --property=KillMode=mixed --property=TimeoutStopSec=infinity --property=OOMScoreAdjust=-900 \
    --property=ExecStopPost="/bin/bash $R/boot.sh end" /bin/bash "$R/boot.sh" work
}
late() { # the boot budget is spent
  if [[ ! -e $R/started ]]; then
    STEP=$(<"$R/step") REASON=boot_timed_out
    record 0 "boot.sh ($DAYFLY_BOOT_BUDGET_SECONDS s)"
    systemctl kill --signal=KILL dayfly-machine.service
  fi
}
need() { # PROGRAM PACKAGE [PACKAGE OF DEBIAN]
  if command -v "$1"; then return; fi
  if command -v dnf; then
    dnf install -y -q "$2"
  elif command -v yum; then
    yum install -y -q "$2"
  else
    apt-get -o DPkg::Lock::Timeout=300 -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends "${3-$2}"
  fi
}
work() {
  local store files
  exec >>"$R/log" 2>&1
  enter logged
  step
  enter store store_denied
  need aws awscli
  push_all &
  store=$!
  enter fetched
  if [[ $DAYFLY_MIRROR ]]; then need git git; fi
  fetch &
  files=$!
  if [[ $DAYFLY_IMAGE ]]; then (enter pulling pull_failed && aws ecr get-login-password >"$R/password") & fi
  enter docker
  need docker docker docker.io
  systemctl start docker
  until timeout 20 docker version; do sleep 1; done # the boot budget is the bound
  wait "$store"
  report &
  enter store
  step
  enter docker
  step
  enter fetched
  wait "$files"
  step
  if [[ $DAYFLY_IMAGE ]]; then
    enter pulling pull_failed
    wait %?password
    pull
  fi
  if [[ $DAYFLY_TASK == run ]]; then
    run
  else
    # shellcheck source=/dev/null
    source "$W/task/$DAYFLY_TASK.sh" >>"$R/output" 2>&1
  fi
  echo "${CODE-0}" >"$R/done"
}
fetch() {
  local jobs=() key
  DIR=$W/run/$ID
  mkdir -p "$DIR/outputs" "$W/task"
  if [[ $DAYFLY_TASK == run ]]; then
    for key in request.json input.ipynb; do
      "${S3[@]}" "$STORE/$key" "$DIR/$key" &
      jobs+=($!)
    done
  else
    "${S3[@]}" "$STORE/context.tar.gz" "$W/context.tar.gz"
    echo "$DAYFLY_CONTEXT_SHA256  $W/context.tar.gz" | sha256sum --check --quiet
    tar -xzf "$W/context.tar.gz" -C "$W/task" --no-same-owner
  fi
  if [[ $DAYFLY_NOTIFY == true ]]; then
    "${S3[@]}" "$STORE/notify" "$R/notify" &
    jobs+=($!)
  fi
  if [[ $DAYFLY_COMMIT && $DAYFLY_MIRROR ]]; then
    mirror
  elif [[ $DAYFLY_COMMIT ]]; then
    "${S3[@]}" "$BUCKET/snapshots/$DAYFLY_COMMIT.bundle" "$W/snapshot.bundle"
    chmod 644 "$W/snapshot.bundle"
  fi
  for key in "${jobs[@]}"; do wait "$key"; done
}
mirror() { # the bundle, from CodeCommit
  local url git=(git -C "$W/task" -c 'credential.helper=!aws codecommit credential-helper $@' -c credential.UseHttpPath=true)
  url=$(aws codecommit get-repository --repository-name "$DAYFLY_MIRROR" --query repositoryMetadata.cloneUrlHttp --output text)
  git init --quiet --bare "$W/task"
  "${git[@]}" fetch --quiet --depth 1 "$url" "$DAYFLY_COMMIT" || "${git[@]}" fetch --quiet "$url" '+refs/*:refs/mirror/*'
  {
    printf '# v2 git bundle\n%s refs/heads/dayfly\n\n' "$DAYFLY_COMMIT"
    "${git[@]}" rev-list --objects --no-walk --no-object-names "$DAYFLY_COMMIT" |
      "${git[@]}" pack-objects --stdout --quiet --delta-base-offset
  } >"$W/snapshot.bundle"
  chmod 644 "$W/snapshot.bundle"
}
pull() {
  local pause said
  echo PULLING 4 >"$R/state"
  docker login --username AWS --password-stdin "${DAYFLY_IMAGE%%/*}" <"$R/password"
  step "$DAYFLY_IMAGE"
  enter pulled pull_failed
  for pause in 2 4 8 16 32 64 0; do
    if docker pull --quiet "$DAYFLY_IMAGE" >"$R/pull" 2>&1; then break; fi
    said=$(<"$R/pull")
    echo "$said"
    case $said in
      *'no space left on device'*) REASON=disk_full pause=0 ;;
      *'manifest unknown'* | *'not found'* | *denied*) pause=0 ;;
    esac
    if ((pause == 0)); then failed $((LINENO - 7)) 'docker pull'; fi
    warn "The image is pulled again in $pause s: $said"
    sleep "$pause"
  done
  step
}
common() { # NAME: what every container has; into $ARGS
  ARGS=(--rm --name "$1" --label "dev.dayfly.run=$ID" --hostname "dayfly-$ID" --pull never --log-driver none
    --no-healthcheck --workdir / --cap-drop ALL --security-opt no-new-privileges --user "$DAYFLY_USER"
    --env "HOME=$DAYFLY_HOME" --env "USER=$DAYFLY_USER_NAME" --env "LOGNAME=$DAYFLY_USER_NAME")
}
notebook() { # DIRECTORY TARGET: the arguments of the container in which a kernel works
  local key total
  common "dayfly-$ID"
  while read -r key total _; do [[ $key != MemTotal: ]] || break; done </proc/meminfo
  total=$((total * 1024))
  LIMIT=$((total - (total >> 33 ? total / 16 : total >> 31 ? 1 << 29 : total / 4))) # the rest is the machine's
  if ((DAYFLY_MEMORY_BYTES > LIMIT)); then
    warn "The notebook has $LIMIT bytes of memory, not $DAYFLY_MEMORY_BYTES: the machine has $total."
  elif ((DAYFLY_MEMORY_BYTES)); then
    LIMIT=$DAYFLY_MEMORY_BYTES
  fi
  ARGS+=(--shm-size 1g --memory "$LIMIT" --memory-swap "$LIMIT" --stop-timeout "$DAYFLY_STOP_SECONDS"
    --mount "type=bind,source=$1,target=$2")
  if [[ $DAYFLY_CPUS ]]; then ARGS+=(--cpus "$DAYFLY_CPUS"); fi
  if [[ $DAYFLY_GPUS ]]; then ARGS+=(--gpus "$DAYFLY_GPUS"); fi
}
keeper() { # DIRECTORY TARGET MODULE ARGUMENT...: in the background, with the machine's role
  local name
  common "dayfly-$ID-keeper"
  ARGS+=(--network host --mount "type=bind,source=$1,target=$2")
  export DAYFLY_DEADLINE_EPOCH DAYFLY_SPOT
  for name in "${PASSED[@]}" AWS_REGION DAYFLY_DEADLINE_EPOCH DAYFLY_SPOT; do ARGS+=(--env "$name"); done
  if [[ ${SSL_CERT_FILE-} ]]; then ARGS+=(--mount "type=bind,source=$SSL_CERT_FILE,target=$SSL_CERT_FILE,readonly"); fi
  docker run "${ARGS[@]}" "${OWN[@]}" -m "${@:3}" >>"$R/keeper" 2>&1 &
  KEEPER=$!
}
begun() { # [DETAIL]: from now on the task's own limits hold
  enter started
  : >"$R/started"
  systemctl stop dayfly-boot-budget.timer
  step "${1-}"
}
saved() { # wait for the keeper
  enter saved
  if ! wait "$KEEPER"; then
    warn "upload_failed: not everything could be saved: $(tail -c 300 "$R/keeper")"
  fi
  step
}
run() {
  local at=/dayfly/run/$ID notebook
  DIR=$W/run/$ID CODE=0
  touch "$DIR/runner.log"
  chown -R "$DAYFLY_USER" "$DIR"
  notebook "$DIR" "$at"
  if [[ $DAYFLY_COMMIT ]]; then ARGS+=(--mount "$BUNDLE"); fi
  : >"$R/kept"
  (flock 9) 9>"$R/beat" # no beat of ours can come after one of the keeper
  docker run "${ARGS[@]}" "${OWN[@]}" -m dayfly.backends.container_process "$at" /dayfly/snapshot.bundle \
    >>"$DIR/runner.log" 2>&1 &
  notebook=$!
  keeper "$DIR" "$at" dayfly.keeper "$at" "$BUCKET"
  begun "The notebook has $LIMIT bytes of memory."
  wait "$notebook" || CODE=$?
  if ((CODE > 124 && CODE < 128)); then # docker's own: there was no container
    cat "$DIR/runner.log"
    record "$LINENO" 'docker run'
    result >"$DIR/result.json"
  fi
  saved
}

result() { # result.json, where no runner writes one
  now
  json "$(<"$R/failed/message")"
  if [[ $DAYFLY_TASK == run ]]; then
    printf '{"version": 1, "run_id": "%s", "state": "never_started", "started": "%s", "ended": "%s", "duration_s": 0, "cells": {}, ' \
      "$ID" "$AT" "$AT"
  else
    printf '{"state": "failed", "digest": "", '
  fi
  printf '"reason": "%s", "message": "%s"}\n' "$(<"$R/failed/reason")" "$REPLY"
}
end() {
  local pushed ended=failed
  trap - ERR
  set +eE
  exec >>"$R/log" 2>&1
  STEP=$(<"$R/step")
  if [[ ! -e $R/failed && ! -e $R/done ]]; then record 0 "boot.sh (${EXIT_CODE-} ${EXIT_STATUS-})"; fi
  if [[ -e $R/failed ]]; then
    if [[ -e $R/started && ! -e $R/done ]]; then # the keeper saves what there is
      timeout 20 docker kill "dayfly-$ID"
      timeout 20 docker kill --signal TERM "dayfly-$ID-keeper"
      timeout $((DAYFLY_DEADLINE_EPOCH - EPOCHSECONDS)) docker wait "dayfly-$ID-keeper"
    fi
    cat "$R/log" "$R/keeper" /var/log/cloud-init*.log | tail -c 1000000 | "${S3[@]}" - "$STORE/machine.log"
    if [[ ! -e $R/kept ]]; then
      result | "${S3[@]}" - "$STORE/result.json"
      if [[ $DAYFLY_TASK == run ]]; then beat NEVER_STARTED 13; fi
    fi
  else
    case $(<"$R/done") in
      0) ended=succeeded ;;
      11) ended='timed out' ;;
      12) ended=cancelled ;;
      13) ended=interrupted ;;
    esac
  fi
  STEP=goodbye
  step "$ended"
  push_all &
  pushed=$!
  notify "dayfly: $DAYFLY_TASK $ID: $ended"
  wait "$pushed"
  if [[ $DAYFLY_HOLD_SECONDS != 0 && $ended =~ failed|timed ]]; then
    warn "The machine is kept for $DAYFLY_HOLD_SECONDS s."
    push_all
    sleep "$DAYFLY_HOLD_SECONDS"
  fi
  if ! timeout 60 aws cloudformation delete-stack --stack-name "$DAYFLY_STACK"; then
    warn "The machine cannot delete its stack $DAYFLY_STACK; it powers off."
    push_all
  fi
  systemctl poweroff --force || poweroff -f
}
notify() { # MESSAGE; the target may be a secret
  local target
  read -r target <"$R/notify" || return
  case $target in
    arn:*) timeout 30 aws sns publish --topic-arn "$target" --message "$1" >/dev/null ;;
    *)
      json "$target"
      curl --config - -fsS --proto =https --max-time 20 -o /dev/null -H 'Content-Type: application/json' \
        --data "{\"text\": \"$1\"}" <<<"url = \"$REPLY\""
      ;;
  esac || warn 'The notification could not be sent.'
}

case ${1-} in
  work | late | end) "$1" ;;
  *)
    trap '(($? == 0)) || end' EXIT
    arm
    ;;
esac
exit 0
