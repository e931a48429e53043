# Stands in for python:3.13-slim where no registry is within reach: Debian's own Python of that version.
FROM millrace-debian:trixie
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin \
    && ln -s /usr/bin/python3 /usr/local/bin/python
CMD ["python"]
