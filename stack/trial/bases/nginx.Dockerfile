# Stands in for nginx:1.30 where no registry is within reach: Debian's own nginx.
FROM millrace-debian:trixie
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends nginx curl \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin
CMD ["nginx"]
