# One image for all of Airflow's components, from the same hashed lock as the local stack.
FROM python:3.12-slim AS build
COPY requirements-uv.lock requirements.lock /tmp/
RUN python -m venv /opt/millrace \
    && /opt/millrace/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements-uv.lock \
    && VIRTUAL_ENV=/opt/millrace /opt/millrace/bin/uv pip install --no-cache --require-hashes -r /tmp/requirements.lock

FROM python:3.12-slim
ENV PATH=/opt/millrace/bin:$PATH \
    PYTHONPATH=/opt/project:/opt/project/config \
    OPENBLAS_NUM_THREADS=1 \
    NUMBA_CACHE_DIR=/opt/airflow/numba \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/airflow
RUN useradd --uid 50000 --create-home --home-dir /opt/airflow airflow \
    && mkdir -p /opt/airflow/logs /data/inbox /data/images \
    && chown -R airflow /opt/airflow /data
COPY --from=build /opt/millrace /opt/millrace
COPY config /opt/project/config
COPY include /opt/project/include
COPY dags /opt/project/dags
COPY plugins /opt/project/plugins
USER 50000
WORKDIR /opt/airflow
ENTRYPOINT ["airflow"]
CMD ["version"]
