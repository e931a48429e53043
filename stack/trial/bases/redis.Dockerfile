# Stands in for redis:8 where no registry is within reach: Debian's own Redis of that version.
FROM millrace-debian:trixie
RUN groupadd --system --gid 999 redis \
    && useradd --system --uid 999 --gid redis --no-create-home redis \
    && apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends redis-server \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
    && mkdir /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
CMD ["redis-server"]
