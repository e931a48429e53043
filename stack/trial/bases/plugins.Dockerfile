# Compose and Buildx for a docker that lacks them, taken from Debian's packages.
FROM millrace-debian:trixie
RUN apt-get update -qq \
    && cd /tmp \
    && apt-get download -qq docker-compose docker-buildx \
    && for file in *.deb; do dpkg -x "$file" /; done \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/*
CMD ["true"]
