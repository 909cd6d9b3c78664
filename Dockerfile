# One image for `web`, the workers and `migrate`; what it is to run is said where it is run.

FROM python:3.13-slim AS build
COPY requirements.txt .
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement requirements.txt

FROM python:3.13-slim
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=project.settings \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv
COPY manage.py .
COPY notifications notifications
COPY project project
# The file system may be read-only: all that is written goes to /tmp.
RUN python -m compileall -q . \
    && mkdir var \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp notifications
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "project.wsgi", "--workers", "2", "--threads", "4", "--no-control-socket"]
