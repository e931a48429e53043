# One image for all of Airflow's components, from a hashed lock of its own. `./run image` builds it; docs/decisions/0021-image.md.
ARG PYTHON_VERSION=3.12

FROM python:${PYTHON_VERSION}-slim AS base
ARG EXTRA_CA=""
ENV PATH=/opt/millrace/bin:$PATH \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    REQUESTS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt \
    AWS_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt
# The text of a certificate, for a network whose proxy looks into TLS. Workers need it as much as the build.
RUN if [ -n "$EXTRA_CA" ]; then \
        printf '%s\n' "$EXTRA_CA" > /usr/local/share/ca-certificates/extra.crt && update-ca-certificates; \
    fi
# What python-ldap links, for logins by LDAP.
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libldap2 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin

FROM base AS build
COPY requirements-uv.lock requirements-image.lock requirements-ldap.lock /tmp/
ENV VIRTUAL_ENV=/opt/millrace UV_SYSTEM_CERTS=1 UV_NO_CACHE=1 PIP_CERT=/etc/ssl/certs/ca-certificates.crt
# The installer stays out of what is copied. Tests that packages bring are no part of what they do.
RUN python -m venv /opt/uv \
    && /opt/uv/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements-uv.lock \
    && python -m venv --without-pip /opt/millrace \
    && /opt/uv/bin/uv pip install --require-hashes -r /tmp/requirements-image.lock
# python-ldap has no wheel. What compiles it stays here; its setuptools is hashed, too. Some Pythons come without headers.
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev libldap-dev libsasl2-dev \
    && { [ -e "$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ] \
        || apt-get install -y -qq --no-install-recommends python3-dev; } \
    && /opt/uv/bin/uv pip install --require-hashes --build-constraint /tmp/requirements-ldap.lock \
        -r /tmp/requirements-ldap.lock \
    && /opt/uv/bin/uv pip uninstall setuptools
ARG EXTRA_REQUIREMENTS=""
RUN if [ -n "$EXTRA_REQUIREMENTS" ]; then \
        printf '%s\n' $EXTRA_REQUIREMENTS > /tmp/extra.txt \
        && /opt/uv/bin/uv pip install --constraint /tmp/requirements-image.lock -r /tmp/extra.txt; \
    fi
COPY stack/image/slim.py /tmp/
# Python's own modules are compiled here, as nothing can be written later. Binutils stays out of the image, in any version.
# hadolint ignore=DL3008
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils \
    && /opt/millrace/bin/python /tmp/slim.py /opt/millrace && python -m compileall -q -j 0 /opt/millrace/lib

FROM base AS airflow
# What functions are compiled for: by default whatever processor of this architecture, so that none compiles them anew.
ARG CPU=generic
ENV PYTHONPATH=/opt/project:/opt/project/config \
    OPENBLAS_NUM_THREADS=1 \
    NUMBA_CACHE_DIR=/opt/project/compiled \
    NUMBA_CPU_NAME=${CPU} \
    NUMBA_CPU_FEATURES="" \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/airflow
# Any user may have home and scratch for its own, whatever the engine mounts there: tmpfs takes its mode from the image.
RUN useradd --uid 50000 --user-group --create-home --home-dir /opt/airflow airflow \
    && mkdir -p /data/inbox /data/images /data/logs /scratch \
    && chown -R airflow:airflow /opt/airflow /data /scratch \
    && chmod 1777 /opt/airflow /scratch
COPY --from=build /opt/millrace /opt/millrace
COPY config /opt/project/config
COPY include /opt/project/include
COPY dags /opt/project/dags
COPY plugins /opt/project/plugins
# A compiled function is good for a source of one size and time, and layers keep whole seconds only.
RUN find /opt/project -name '*.py' -exec touch -d @0 {} + \
    && python -m compileall -q /opt/project \
    && mkdir /opt/project/compiled \
    && python -m include.compiled
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Millrace" \
      org.opencontainers.image.description="Large CSV files upserted into PostgreSQL by mapped Airflow tasks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 50000
WORKDIR /opt/airflow
ENTRYPOINT ["airflow"]
CMD ["version"]
