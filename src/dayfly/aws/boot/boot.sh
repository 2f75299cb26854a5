#!/bin/bash -p
# A machine of dayfly. Fixed code: values come from machine.env and are never code. `boot.sh` arms the end and
# starts `boot.sh work`, which systemd follows by `boot.sh end`, however it ended.
# shellcheck disable=SC2034 # the trap reads it
OFFSET=$((LINENO - 5)) # of the header above, in user data
set -Eeuo pipefail
ROOT=${DAYFLY_ROOT-} # tests only
PASSED=("${!AWS_@}" ${SSL_CERT_FILE+SSL_CERT_FILE})
umask 077
R=$ROOT/run/dayfly # in memory: telling of the end must not need the disk
W=$ROOT/var/lib/dayfly
while IFS= read -r line; do
  if [[ $line =~ ^(DAYFLY_[A-Z0-9_]+)=(.*) ]]; then printf -v "${BASH_REMATCH[1]}" %s "${BASH_REMATCH[2]}"; fi
done <"$ROOT/etc/dayfly/machine.env"
for name in DAYFLY_DEADLINE_EPOCH DAYFLY_MEMORY_BYTES; do # arithmetic would execute what is no number
  [[ ${!name} =~ ^[1-9][0-9]{0,14}$ ]] || printf -v "$name" 0
done
TASK=$DAYFLY_TASK ID=$DAYFLY_MACHINE_ID BUCKET=s3://$DAYFLY_BUCKET STORE=s3://$DAYFLY_BUCKET/$DAYFLY_PREFIX
export LC_ALL=C TZ=UTC HOME=$R DOCKER_CONFIG=$R/docker AWS_PAGER='' AWS_MAX_ATTEMPTS=6 AWS_RETRY_MODE=standard
export AWS_REGION=$DAYFLY_REGION AWS_DEFAULT_REGION=$DAYFLY_REGION
S3=(timeout 300 aws s3 cp --only-show-errors)
PYTHON=(--entrypoint /opt/dayfly/bin/python "$DAYFLY_IMAGE" -I)
BUNDLE=type=bind,source=$W/snapshot.bundle,target=/dayfly/snapshot.bundle,readonly

uptime() { # 1/100 s, whatever the wall clock does
  read -r REPLY _ </proc/uptime
  REPLY=$((10#${REPLY/./}))
}
now() { printf -v AT '%(%FT%T)T.%.3sZ' "${EPOCHREALTIME%.*}" "${EPOCHREALTIME#*.}"; }
json() { # TEXT, for a string
  REPLY=${1//\\/\\\\}
  REPLY=${REPLY//\"/\\\"}
  REPLY=${REPLY//[!' '-'~']/ }
}
tell() { # TYPE MEMBERS
  now
  echo "{\"at\": \"$AT\", \"type\": \"$1\", $2}" >>"$R/machine.jsonl"
}
enter() { # STEP [REASON when it fails]
  STEP=$1 REASON=${2-boot_failed}
  ((BASH_SUBSHELL)) || echo "$STEP" >"$R/step"
}
step() { # [DETAIL]: it is done
  local took
  uptime
  printf -v took %03d $((REPLY - T0))
  T0=$REPLY
  json "${1-}"
  tell step "\"step\": \"$STEP\", \"took_s\": ${took%??}.${took: -2}, \"detail\": \"$REPLY\""
}
warn() {
  json "$1"
  tell warning "\"message\": \"$REPLY\""
}
record() { # LINE COMMAND: the first failure is told
  mkdir "$R/failed" || return 0
  json "$(tail -c 400 "${SAID-$R/log}")"
  local said=$REPLY
  json "$2"
  tell failed "\"step\": \"$STEP\", \"line\": $1, \"command\": \"$REPLY\", \"reason\": \"$REASON\", \"message\": \"$said\""
  echo "\"message\": \"The machine failed in step $STEP, line $1 of ${IN-boot.sh}: $REPLY: $said\", \"reason\": \"$REASON\"" >"$R/failed/why"
}
failed() {
  trap - ERR
  [[ ${BASH_SOURCE[1]} != "$W"/task/* ]] || IN=$TASK.sh
  echo "line $1: $2"
  record "$1" "$2"
  exit 1
}
trap 'failed $((LINENO - OFFSET)) "$BASH_COMMAND"' ERR
STEP=armed REASON=boot_failed
uptime
T0=$REPLY

push() { # FILE NAME SUFFIX: what is new, as a chunk named by the byte it begins at
  local size sent=0 name
  size=$(stat -c %s "$1")
  if [[ -e $1.sent ]]; then sent=$(<"$1.sent") sent=${sent##*$'\n'}; fi
  if ((size <= sent)); then return; fi
  printf -v name %012d "$sent"
  head -c "$size" "$1" | tail -c "+$((sent + 1))" | "${S3[@]}" - "$STORE/$2/$name.$3"
  echo "$size" >>"$1.sent" # a kill never leaves it empty
}
push_all() { # whoever reads a step finds the text that came before it
  if [[ -e $R/output ]]; then push "$R/output" log txt; fi
  push "$R/machine.jsonl" machine jsonl
}
beat() { # STATE NUMBER: the size says the state (runs/status.py)
  now
  printf "%-$((511 + $2))s\n" "{\"run_id\": \"$ID\", \"state\": \"$1\", \"at\": \"$AT\"}" | "${S3[@]}" - "$BUCKET/status/$ID"
}
report() { # in the background; the heart beats until the keeper's does
  trap - ERR
  set +e
  local said='' count=0 state number
  while :; do
    push_all
    read -r state number <"$R/state"
    if [[ $TASK == run && ($said != "$state" || $count -gt 20) ]]; then
      (flock 9 && [[ -e $R/kept ]] || beat "$state" "$number") 9>"$R/beat" && said=$state count=0
    fi
    count=$((count + 1))
    sleep 1
  done
}

arm() { # by the monotonic clock: no jump of the wall clock moves the end
  local left=$((DAYFLY_DEADLINE_EPOCH - EPOCHSECONDS)) unit=(systemd-run --quiet --setenv=DAYFLY_ROOT="$ROOT")
  mkdir -p "$R" "$W/task" "$ROOT/var/log"
  "${unit[@]}" --unit=dayfly-deadline --on-active="$((left > 0 ? left : 1))" --timer-property=AccuracySec=1s \
    sh -c 'systemctl poweroff --force; sleep 30; systemctl poweroff --force --force'
  sed -n '/^#!.bin.bash -p$/,$p' "$0" >"$R/boot.sh"
  : >>"$R/log"
  ln -sf "$R/log" "$ROOT/var/log/dayfly.log"
  echo BOOTING 3 >"$R/state"
  enter armed
  step "until $DAYFLY_DEADLINE"
  "${unit[@]}" --unit=dayfly-boot-budget --on-active="$DAYFLY_BOOT_BUDGET_SECONDS" bash "$R/boot.sh" late
  "${unit[@]}" --unit=dayfly-machine --no-block "${PASSED[@]/#/--setenv=}" -p KillMode=mixed -p OOMScoreAdjust=-900 \
    -p TimeoutStopSec=infinity -p ExecStopPost="/bin/bash $R/boot.sh end" bash "$R/boot.sh" work
}
late() { # the boot budget is spent
  if [[ -e $R/started ]]; then return; fi
  STEP=$(<"$R/step") REASON=boot_timed_out
  record 0 "boot.sh work ($DAYFLY_BOOT_BUDGET_SECONDS s)"
  systemctl kill --signal=KILL dayfly-machine.service
}
need() { # PROGRAM PACKAGE [PACKAGE OF DEBIAN]
  local apt=(apt-get -qq -o DPkg::Lock::Timeout=300)
  if command -v "$1"; then return; fi
  if command -v dnf; then
    dnf install -y -q "$2"
  else
    "${apt[@]}" update
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install -y --no-install-recommends "${3-$2}"
  fi
}
work() {
  local store files password=
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
  if [[ $DAYFLY_IMAGE ]]; then
    (enter pulling pull_failed && aws ecr get-login-password >"$R/password") &
    password=$!
  fi
  enter docker
  need docker docker docker.io
  systemctl start docker
  until timeout 20 docker version; do sleep 1; done # the boot budget ends it
  wait "$store"
  report &
  enter store
  step
  enter docker
  step
  enter fetched
  wait "$files"
  step
  if [[ $password ]]; then
    enter pulling pull_failed
    wait "$password"
    pull
  fi
  enter started
  if [[ $TASK == run ]]; then
    run
  else
    SAID=$R/output
    # shellcheck source=/dev/null
    source "$W/task/$TASK.sh" >>"$R/output" 2>&1
  fi
  echo "${CODE-0}" >"$R/done"
}
fetch() {
  local jobs=() key keys=(context.tar.gz) to=$W/task
  if [[ $TASK == run ]]; then keys=(request.json input.ipynb) to=$W/run/$ID; fi
  if [[ $DAYFLY_NOTIFY == true ]]; then keys+=(notify); fi
  mkdir -p "$to/outputs"
  for key in "${keys[@]}"; do
    "${S3[@]}" "$STORE/$key" "$to/$key" &
    jobs+=($!)
  done
  if [[ $DAYFLY_MIRROR && $DAYFLY_COMMIT ]]; then
    mirror
  elif [[ $DAYFLY_COMMIT ]]; then
    "${S3[@]}" "$BUCKET/snapshots/$DAYFLY_COMMIT.bundle" "$W/snapshot.bundle"
  fi
  if [[ $DAYFLY_COMMIT ]]; then chmod 644 "$W/snapshot.bundle"; fi
  for key in "${jobs[@]}"; do wait "$key"; done
  if [[ $DAYFLY_NOTIFY == true ]]; then mv "$to/notify" "$R"; fi
  if [[ $TASK != run ]]; then
    echo "$DAYFLY_CONTEXT_SHA256  $to/context.tar.gz" | sha256sum --check --quiet
    tar -xzf "$to/context.tar.gz" -C "$to" --no-same-owner
  fi
}
mirror() { # the bundle, from CodeCommit
  local url git=(git -C "$W/mirror" -c 'credential.helper=!aws codecommit credential-helper $@' -c credential.UseHttpPath=true)
  url=$(aws codecommit get-repository --repository-name "$DAYFLY_MIRROR" --query repositoryMetadata.cloneUrlHttp --output text)
  git init --quiet --bare "$W/mirror"
  "${git[@]}" fetch --quiet --depth 1 "$url" "$DAYFLY_COMMIT" || "${git[@]}" fetch --quiet "$url" '+refs/*:refs/all/*'
  "${git[@]}" update-ref refs/heads/dayfly "$DAYFLY_COMMIT"
  "${git[@]}" bundle create --quiet "$W/snapshot.bundle" refs/heads/dayfly
}
pull() {
  local pause said doing
  echo PULLING 4 >"$R/state"
  step "$DAYFLY_IMAGE"
  enter pulled pull_failed
  for pause in 2 4 8 16 32 64 0; do
    doing='docker login'
    if docker login --username AWS --password-stdin "${DAYFLY_IMAGE%%/*}" <"$R/password" >"$R/pull" 2>&1 &&
      doing='docker pull' && docker pull --quiet "$DAYFLY_IMAGE" >"$R/pull" 2>&1; then break; fi
    said=$(<"$R/pull")
    echo "$said"
    case $said in
      *'no space left on device'*) REASON=disk_full pause=0 ;;
      *'manifest unknown'* | *'not found'* | *denied* | *unauthorized*) pause=0 ;;
    esac
    if ((pause == 0)); then failed $((LINENO - 8)) "$doing"; fi
    warn "The image is pulled again in $pause s: $said"
    sleep "$pause"
  done
  step
}
common() { # NAME: what each container has; into $ARGS
  ARGS=(--rm --name "$1" --label "dev.dayfly.run=$ID" --hostname "dayfly-$ID" --pull never --log-driver none
    --no-healthcheck --workdir / --cap-drop ALL --security-opt no-new-privileges --user "$DAYFLY_USER"
    --env "HOME=$DAYFLY_HOME" --env "USER=$DAYFLY_USER_NAME" --env "LOGNAME=$DAYFLY_USER_NAME")
}
notebook() { # DIRECTORY TARGET: where a kernel works; the machine keeps some memory for itself
  local key total
  common "dayfly-$ID"
  while read -r key total _; do [[ $key != MemTotal: ]] || break; done </proc/meminfo
  total=$((total << 10))
  LIMIT=$((total - (1 << 28)))
  if ((DAYFLY_MEMORY_BYTES == 0)); then
    LIMIT=$((LIMIT - total / 16))
  elif ((DAYFLY_MEMORY_BYTES > LIMIT)); then
    warn "The notebook has $LIMIT bytes of memory, not $DAYFLY_MEMORY_BYTES: the machine has $total."
  else
    LIMIT=$DAYFLY_MEMORY_BYTES
  fi
  ARGS+=(--shm-size 1g --memory "$LIMIT" --memory-swap "$LIMIT" --stop-timeout "$DAYFLY_STOP_SECONDS"
    --mount "type=bind,source=$1,target=$2" ${DAYFLY_CPUS:+--cpus "$DAYFLY_CPUS"} ${DAYFLY_GPUS:+--gpus "$DAYFLY_GPUS"})
}
keeper() { # DIRECTORY TARGET MODULE ARGUMENT...: in the background, with the machine's role
  local name ca=${SSL_CERT_FILE-}
  common "dayfly-$ID-keeper"
  export DAYFLY_DEADLINE_EPOCH DAYFLY_SPOT
  for name in "${PASSED[@]}" AWS_REGION DAYFLY_DEADLINE_EPOCH DAYFLY_SPOT; do ARGS+=(--env "$name"); done
  (
    trap - ERR
    set +e
    for name in 1 2 3 4 5; do # one that dies is followed by another; 5: it has given up
      docker run "${ARGS[@]}" --network host --mount "type=bind,source=$1,target=$2" \
        ${ca:+--mount "type=bind,source=$ca,target=$ca,readonly"} "${PYTHON[@]}" -m "${@:3}"
      CODE=$?
      if ((CODE == 0 || CODE == 5)); then break; fi
      sleep 1
    done
    exit "$CODE"
  ) >>"$R/keeper" 2>&1 &
  KEEPER=$!
}
begun() { # [DETAIL]: from now on the task's own limits hold
  enter started
  : >"$R/started"
  systemctl stop dayfly-boot-budget.timer
  step "${1-}"
}
saved() {
  enter saved
  wait "$KEEPER" || warn "upload_failed: not all could be saved: $(tail -c 300 "$R/keeper")"
  step
}
run() {
  local at=/dayfly/run/$ID dir=$W/run/$ID notebook
  CODE=0
  touch "$dir/runner.log"
  chown -R "$DAYFLY_USER" "$dir"
  notebook "$dir" "$at"
  if [[ $DAYFLY_COMMIT ]]; then ARGS+=(--mount "$BUNDLE"); fi
  : >"$R/kept"
  (flock 9) 9>"$R/beat" # no beat of ours comes after one of the keeper's
  docker run "${ARGS[@]}" "${PYTHON[@]}" -m dayfly.backends.container_process "$at" /dayfly/snapshot.bundle \
    >>"$dir/runner.log" 2>&1 &
  notebook=$!
  keeper "$dir" "$at" dayfly.keeper "$at" "$BUCKET"
  begun "The notebook has $LIMIT bytes of memory."
  wait "$notebook" || CODE=$?
  if ((CODE > 124 && CODE < 128)); then # docker's own: there was no container
    cat "$dir/runner.log"
    record "$LINENO" 'docker run'
    result >"$R/result" # whole, and for the keeper to read
    install -m 644 "$R/result" "$dir/.result"
    mv "$dir/.result" "$dir/result.json"
  fi
  saved
}

result() { # result.json, where no runner writes one
  now
  if [[ $TASK == run ]]; then
    echo "{\"run_id\": \"$ID\", \"state\": \"never_started\", \"started\": \"$AT\", \"ended\": \"$AT\", \"duration_s\": 0, \"cells\": {}, $(<"$R/failed/why")}"
  else
    echo "{\"state\": \"failed\", $(<"$R/failed/why")}"
  fi
}
end() {
  local ended=failed
  trap - ERR
  set +eEu
  exec >>"$R/log" 2>&1
  STEP=$(<"$R/step")
  [[ -e $R/done ]] || record 0 "boot.sh work (${EXIT_CODE-} ${EXIT_STATUS-})"
  if [[ -e $R/failed ]]; then
    if [[ -e $R/started && ! -e $R/done ]]; then # the keeper saves what there is
      timeout 20 docker kill "dayfly-$ID"
      timeout 20 docker kill --signal TERM "dayfly-$ID-keeper"
      timeout $((DAYFLY_DEADLINE_EPOCH - EPOCHSECONDS)) docker wait "dayfly-$ID-keeper"
    fi
    cat "$R/log" "$R/keeper" /var/log/cloud-init*.log | tail -c 1000000 | "${S3[@]}" - "$STORE/machine.log"
    if [[ ! -e $R/kept ]]; then
      push_all # whoever sees the result finds what led to it
      result | "${S3[@]}" - "$STORE/result.json"
      [[ $TASK != run ]] || beat NEVER_STARTED 13
    fi
  else
    case $(<"$R/done") in
      0) ended=succeeded ;;
      11) ended=timed_out ;;
      12) ended=cancelled ;;
      13) ended=interrupted ;;
    esac
  fi
  STEP=goodbye
  step "$ended"
  push_all &
  notify "dayfly: $TASK $ID: $ended"
  wait
  push_all # the warning of a message that could not be sent
  if [[ $DAYFLY_HOLD_SECONDS =~ ^[1-9] && $ended =~ failed|timed_out ]]; then
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
  read -r target <"$R/notify" || [[ $target ]] || return
  json "$target"
  case $target in
    arn:*) timeout 30 aws sns publish --topic-arn "$target" --message "$1" ;;
    *) curl -K - -fsS --proto =https -m 20 -o /dev/null -d "{\"text\": \"$1\"}" -H Content-Type:application/json <<<"url = \"$REPLY\"" ;;
  esac || warn 'The notification could not be sent.'
}

case ${1-} in
  work) work ;;
  late) late ;;
  end) end ;;
  *)
    trap '(($? == 0)) || end' EXIT
    arm
    ;;
esac
exit 0
