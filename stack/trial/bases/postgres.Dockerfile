# Stands in for postgres:18 where no registry is within reach: PostgreSQL 18 of the Debian that has it.
FROM millrace-debian:trixie
RUN groupadd --system --gid 999 postgres \
    && useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql postgres \
    && echo "deb http://deb.debian.org/debian forky main" > /etc/apt/sources.list.d/forky.list \
    && apt-get update -qq -o Acquire::Check-Valid-Until=false \
    && mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -t forky postgresql-18 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/lib/postgresql/18 \
    && mkdir -p /var/lib/postgresql /var/run/postgresql \
    && chown -R postgres:postgres /var/lib/postgresql /var/run/postgresql
ENV PATH=/usr/lib/postgresql/18/bin:$PATH \
    PGDATA=/var/lib/postgresql/18/docker
COPY docker-entrypoint.sh /usr/local/bin/
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
