# One image for web, worker and migrations: what it does is the command's to say (docker-compose.yml has all three).
# It runs as a user of its own, needs nothing writable but /tmp, and takes secrets from files: docs/containers.md.

ARG PYTHON=3.11
# 3.11 is what the locked packages are resolved for; they have wheels for later ones too.

FROM python:${PYTHON}-slim AS packages
COPY deploy/requirements.txt deploy/pip-26.3-py3-none-any.whl /build/
# Each wheel is checked by its hash. An index of your own: docker build --secret id=pip.conf,src=FILE
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \
    python -m venv --without-pip /srv/packages \
    && /srv/packages/bin/python /build/pip-26.3-py3-none-any.whl/pip install --quiet --no-cache-dir --no-compile --no-input \
        --disable-pip-version-check --require-hashes --no-deps --only-binary :all: --requirement /build/requirements.txt \
    && /srv/packages/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /srv/packages/lib

FROM python:${PYTHON}-slim AS project
WORKDIR /srv/rateguard
COPY manage.py LICENSE ./
COPY docs/errors.md docs/errors.md
COPY templates templates
COPY tenants tenants
COPY dashboard dashboard
COPY rateguard rateguard
RUN python -m compileall -q -j 0 --invalidation-mode unchecked-hash manage.py tenants dashboard rateguard

FROM python:${PYTHON}-slim
ARG VERSION=unversioned
LABEL org.opencontainers.image.title="rateguard" \
      org.opencontainers.image.description="LLM work of many tenants, at the highest rate that limits and budgets allow" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}"
RUN groupadd --system --gid 10001 rateguard \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin rateguard
COPY --from=packages /srv/packages /srv/packages
COPY --from=project /srv/rateguard /srv/rateguard
ENV PATH=/srv/packages/bin:$PATH \
    PYTHONPATH=/srv/rateguard \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    RATEGUARD_BOOTSTRAP=0 \
    RATEGUARD_ENV=production
WORKDIR /srv/rateguard
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Of the web process, which is the default; docker-compose.yml has another for workers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["uvicorn", "rateguard.asgi:application", "--host", "0.0.0.0", "--port", "8000", "--timeout-graceful-shutdown", "25", "--no-server-header", "--no-access-log"]
