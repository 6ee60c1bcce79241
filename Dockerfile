# One image for every process of Kvitto: `docker run kvitto worker --provider kompar`.
FROM python:3.13.11-slim-trixie@sha256:2b9c9803c6a287cafa0a8c917211dddd23dcd2016f049690ee5219f5d3f1636e AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
# Dependencies first: they change less often than the code.
COPY requirements.build.lock requirements.oidc.lock requirements.otel.lock requirements.runtime.lock ./
RUN pip install --require-hashes -r requirements.build.lock
RUN python -m venv --without-pip /opt/kvitto \
 && pip --python /opt/kvitto/bin/python install --require-hashes -r requirements.runtime.lock
# Extras by name, separated by spaces: `--build-arg KVITTO_EXTRAS="oidc otel"`.
ARG KVITTO_EXTRAS=
RUN for extra in $KVITTO_EXTRAS; do \
      pip --python /opt/kvitto/bin/python install --require-hashes -r "requirements.$extra.lock" || exit 1; \
    done
COPY pyproject.toml README.md LICENSE ./
COPY deploy/install/commit_hook.py deploy/install/
COPY app app
COPY config config
COPY workers workers
# What `kvitto --version` shows.
ARG KVITTO_COMMIT=
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && pip --python /opt/kvitto/bin/python install --no-deps --no-index dist/*.whl

FROM python:3.13.11-slim-trixie@sha256:2b9c9803c6a287cafa0a8c917211dddd23dcd2016f049690ee5219f5d3f1636e
# Secret files belong to a user by number: deploy/make-secrets uses this one.
RUN groupadd --gid 10001 kvitto \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir / --shell /usr/sbin/nologin kvitto
COPY --from=build /opt/kvitto /opt/kvitto
# The file system may be read-only: processes write to /tmp only.
ENV PATH=/opt/kvitto/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /
USER 10001:10001
ENTRYPOINT ["kvitto"]
CMD ["--help"]
