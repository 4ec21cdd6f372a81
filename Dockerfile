# The image: the static binary, CA certificates and the directory of the status file. No shell, no package manager.
#
#   docker build -t secrets-sync .     builds the binary from source; needs the network. For a binary that names its commit:
#                                      --build-arg REVISION=$(git rev-parse HEAD) --build-arg DATE=$(git log -1 --format=%cs)
#   make image                         takes a binary that was built and checked outside, and pulls nothing:
#                                      .ci/image replaces the stage `build` and keeps the last stage as it is
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
ARG REVISION=""
ARG DATE=""
RUN triple=$(uname -m)-unknown-linux-gnu \
 && export SECRETS_SYNC_COMMIT=$(printf %.12s "$REVISION") SECRETS_SYNC_DATE="$DATE" \
 && cargo build --locked --release --target "$triple" \
 && install -D -m 0755 "target/$triple/release/secrets-sync" /image/usr/bin/secrets-sync \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
 && install -d -m 1777 /image/run/secrets-sync

# The last stage: the same lines in both ways of building. /run/secrets-sync holds the status file; any user may write there.
FROM scratch
ARG VERSION=""
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="secrets-sync" \
      org.opencontainers.image.description="Keeps files in sync with secrets in Vault and OpenBao" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.source="$SOURCE"
COPY --from=build /image /
ENTRYPOINT ["/usr/bin/secrets-sync"]
CMD ["run"]
# Named although it is the default: without it Docker takes the signals of a reload and of a refresh for a stop, and
# does not start the container again after a crash (https://github.com/moby/moby/pull/26464).
STOPSIGNAL SIGTERM
# Docker 25 and later can look more often during the start only: --start-interval=1s --interval=30s.
HEALTHCHECK --interval=2s --timeout=3s --start-period=60s --retries=2 CMD ["/usr/bin/secrets-sync", "isready"]
