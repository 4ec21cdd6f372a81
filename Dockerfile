# The static binary and nothing else: no shell, no package manager, no libc. `make image` builds the binary (profile
# `release`) and puts this directory tree together; a plain `docker build .` in the repository has nothing to copy.
FROM scratch
# The system's CA certificates, and /run/secrets-sync, where any user may write the status file.
COPY etc /etc
COPY run /run
COPY usr/bin/secrets-sync /secrets-sync
ENTRYPOINT ["/secrets-sync"]
CMD ["run"]
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=2 CMD ["/secrets-sync", "isready"]
