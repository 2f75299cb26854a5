FROM {base} AS dayfly
USER root
COPY . /tmp/dayfly
RUN --mount=type=cache,target=/root/.cache/pip ["/bin/sh", "/tmp/dayfly/layer.sh"]

FROM {base}
USER root
COPY --from=dayfly /opt/dayfly /opt/dayfly
# A run makes its checkout itself; WORKDIR may have made its place already.
RUN ["/bin/sh", "-c", "mkdir -p /dayfly/run && chmod 1777 /dayfly /dayfly/run && if [ -d /dayfly/project ]; then rmdir /dayfly/project; fi"]
USER {user}
