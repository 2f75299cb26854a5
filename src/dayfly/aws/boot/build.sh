# What a machine does whose task is a build: aws/build_context.py says what lies beside this file. boot.sh has
# fetched it and goes on with it; what it prints is the build's log.
# shellcheck shell=bash disable=SC2154,SC2164
begun
cd "$W/task"
while IFS= read -r line; do # values are never code
  if [[ $line =~ ^(DAYFLY_[A-Z_]+)=(.*) ]]; then printf -v "PLAN_${BASH_REMATCH[1]#DAYFLY_}" %s "${BASH_REMATCH[2]}"; fi
done <plan.env

# Docker's command has BuildKit in it before version 23, and as a plugin since.
client=$(docker version --format '{{.Client.Version}}')
if docker buildx version &>/dev/null || ((10#${client%%.*} < 23)); then export DOCKER_BUILDKIT=1; else export DOCKER_BUILDKIT=0; fi
export BUILDKIT_PROGRESS=plain

# The registry is the one that its token is for. A Dockerfile may begin with an image of the project's own.
read -r token registry < <(aws ecr get-authorization-token --output text \
  --query 'authorizationData[0].[authorizationToken, proxyEndpoint]')
registry=${registry#*://}
image=$registry/dayfly/$DAYFLY_PROJECT:$PLAN_TAG
said=$(base64 --decode <<<"$token" | cut -d: -f2 | docker login --username AWS --password-stdin "$registry" 2>&1) ||
  { echo "$said" && failed "$LINENO" 'docker login'; }

arguments=(--file base/Dockerfile --tag "$PLAN_BASE_TAG" --label "dev.dayfly.base=$PLAN_BASE_KEY")
while IFS= read -r line; do
  if [[ $line ]]; then arguments+=(--build-arg "$line"); fi
done <base/build-args
if [[ $PLAN_TARGET ]]; then arguments+=(--target "$PLAN_TARGET"); fi
if [[ $PLAN_NETWORK ]]; then arguments+=(--network "$PLAN_NETWORK"); fi
docker build "${arguments[@]}" base/context
user=$(docker image inspect --format '{{.Config.User}}' "$PLAN_BASE_TAG")

docker build --file layer/Dockerfile --tag "$image" --build-arg "DAYFLY_USER=${user:-root}" \
  ${PLAN_NETWORK:+--network "$PLAN_NETWORK"} --label "dev.dayfly.project=$PLAN_NAME" \
  --label "dev.dayfly.key=$PLAN_KEY" --label "dev.dayfly.version=$PLAN_VERSION" layer/context
docker run --rm --network none --entrypoint /opt/dayfly/bin/python "$image" -I -m dayfly.runner.probe >facts.json
docker push "$image"
digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" | grep -F "${image%:*}@" | head -1)
digest=${digest##*@}
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]]

# What a run will find in the image (aws/image_records.py): the probe's answer, and where the image is.
now
{
  printf '{"version": 1, "key": "%s", "tag": "%s", "digest": "%s", "platform": "%s", "size_bytes": %s, "pushed": "%s", ' \
    "$PLAN_KEY" "$PLAN_TAG" "$digest" "$PLAN_PLATFORM" "$(docker image inspect --format '{{.Size}}' "$image")" "$AT"
  tail -c +2 facts.json
} >record.json
"${S3[@]}" record.json "$BUCKET/images/$PLAN_KEY.json"
enter saved
step "$image"
push_all
printf '{"state": "succeeded", "message": "The image is %s.", "digest": "%s"}\n' "$image" "$digest" |
  "${S3[@]}" - "$STORE/result.json"
