#!/bin/bash
# Stands for every program that boot.sh calls, by the name it is called by: notes the call, fails when it shall,
# and does as much of what the real one does as boot.sh can see. $FAKE is the test's directory.
name=${0##*/}
printf -v call ' %q' "$@"
echo "$name$call" >>"$FAKE/calls"
real() { PATH=$REAL_PATH exec "$name" "$@"; }

while IFS=$'\t' read -r pattern times code said; do
  [[ "$name$call" =~ $pattern ]] || continue
  mkdir -p "$FAKE/failed"
  for ((n = 0; n < times; n++)); do
    if PATH=$REAL_PATH mkdir "$FAKE/failed/$n" 2>/dev/null; then
      echo "$said" >&2
      exit "$code"
    fi
  done
done <"$FAKE/faults"

await() { until [[ -e $1 ]]; do PATH=$REAL_PATH sleep 0.01; done; }

case $name in
  aws)
    case "$1 $2" in
      'cloudformation delete-stack') echo "${*: -1}" >"$FAKE/deleted" ;;
      's3 cp')
        from=${*: -2:1} to=${*: -1}
        to=${to/#s3:\/\//$FAKE/s3/} from=${from/#s3:\/\//$FAKE/s3/}
        [[ $to == "$FAKE"/s3/* ]] && PATH=$REAL_PATH mkdir -p "${to%/*}"
        if [[ $to == "$FAKE"/s3/* ]]; then # as S3 does: all of it, or nothing
          PATH=$REAL_PATH cat "${from/#-/\/dev\/stdin}" >"$FAKE/upload.$$" && PATH=$REAL_PATH mv "$FAKE/upload.$$" "$to"
        else
          PATH=$REAL_PATH cat "$from" >"$to"
        fi
        ;;
      'ecr get-login-password') echo a-password ;;
      'codecommit get-repository') echo "$FAKE/mirror.git" ;;
    esac
    ;;
  docker)
    case $1 in
      version) echo 25.0.0 ;;
      login) PATH=$REAL_PATH cat >"$FAKE/password" ;;
      run)
        container='' before=''
        for word in "$@"; do
          [[ $before == --name ]] && container=$word
          [[ $before == --mount && ! $dir && $word =~ source=([^,]*) ]] && dir=${BASH_REMATCH[1]}
          before=$word
        done
        case $container in
          *-keeper)
            : >"$FAKE/keeper-began"
            PATH=$REAL_PATH setsid "$FAKE/keeper" "$dir" & # what kills docker's command does not kill it
            await "$FAKE/keeper-ended"
            exit "$(<"$FAKE/keeper-code")"
            ;;
          *-unpack) ;;
          *)
            PATH=$REAL_PATH cp -r "$dir" "$FAKE/seen"
            [[ -e $FAKE/never-ends ]] && await "$FAKE/notebook-ended"
            : >"$FAKE/notebook-ended"
            exit "$(<"$FAKE/notebook-code")"
            ;;
        esac
        ;;
      kill) [[ $* == *-keeper ]] || : >"$FAKE/notebook-ended" ;;
      wait)
        [[ -e $FAKE/keeper-began ]] || exit 1
        await "$FAKE/keeper-ended"
        ;;
    esac
    ;;
  systemd-run)
    post='' command=()
    while (($#)); do
      case $1 in
        --setenv=*=*) export "${1#--setenv=}" ;;
        -p)
          [[ $2 == ExecStopPost=* ]] && post=${2#ExecStopPost=}
          shift
          ;;
        --*) ;;
        *)
          command=("$@")
          break
          ;;
      esac
      shift
    done
    if [[ $post ]]; then # as systemd does: all that is left is killed, and what follows is told how it ended
      /usr/bin/env setsid "${command[@]}" &
      main=$!
      echo "$main" >"$FAKE/main"
      wait "$main" 2>/dev/null
      code=$?
      # Not the process group: timeout has one of its own.
      while PATH=$REAL_PATH pkill -KILL --runstates DRSTI --session "$main"; do PATH=$REAL_PATH sleep 0.01; done
      EXIT_CODE=exited EXIT_STATUS=$code $post
    fi
    exit 0
    ;;
  systemctl)
    case "$*" in
      'kill --signal=KILL dayfly-machine.service') kill -KILL "$(<"$FAKE/main")" ;;
      'start docker') if [[ -e $FAKE/docker-hangs ]]; then PATH=$REAL_PATH sleep 60; fi ;;
      poweroff*) : >"$FAKE/off" ;;
    esac
    ;;
  poweroff) : >"$FAKE/off" ;;
  curl) PATH=$REAL_PATH cat >>"$FAKE/curl" ;;
  sleep) PATH=$REAL_PATH sleep 0.02 ;;
  chown | dnf | yum | apt-get) ;;
  *) real "$@" ;;
esac
