FROM {base} AS dayfly
USER root
COPY . /tmp/dayfly
RUN --mount=type=cache,target=/root/.cache/pip ["/bin/sh", "/tmp/dayfly/layer.sh"]

FROM {base}
USER root
COPY --from=dayfly /opt/dayfly /opt/dayfly
# Where a run has its checkout and its directory, whoever it runs as.
RUN ["/bin/sh", "-c", "mkdir -p /dayfly/project /dayfly/run && chmod 1777 /dayfly/project /dayfly/run"]
USER {user}
