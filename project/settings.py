"""Settings from the environment; with nothing set it is the embedded default.

Set `DATABASE_URL`, `CELERY_BROKER_URL` and `REDIS_URL` for the production shape. Once
`ALLOWED_HOSTS` names more than this host, `SECRET_KEY` must be set, and `HTTPS` is on unless it is
turned off: cookies travel over TLS only, HSTS is sent, and pages for browsers redirect. A proxy in
front must set `X-Forwarded-Proto` itself.
"""

import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured
from environs import Env, validate

from notifications.multiprocess import share_metrics
from notifications.observability.formats import logging_config

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
VAR_DIR.mkdir(exist_ok=True)

env = Env()

# All processes of a host count into one directory, and whichever is scraped adds them up.
share_metrics(env.str("PROMETHEUS_MULTIPROC_DIR", str(VAR_DIR / "metrics")))


def _secret_key() -> str:
    """The key from the environment; while only this host is served, one made once and kept."""
    if key := env.str("SECRET_KEY", ""):
        return key
    if PUBLIC:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set, and ALLOWED_HOSTS says that this is no trial. Set it, the same "
            "for every process, for instance to the output of: "
            'python -c "import secrets; print(secrets.token_urlsafe(50))"'
        )
    return _kept_secret_key(VAR_DIR / "secret_key")


def _kept_secret_key(path: Path) -> str:
    if not path.exists():
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            # A link, unlike a rename, leaves the key alone that another process made meanwhile.
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # read below
        finally:
            draft.unlink()
    return path.read_text()


DEBUG = env.bool("DEBUG", False)
LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", LOOPBACK)
PUBLIC = not DEBUG and not set(ALLOWED_HOSTS) <= set(LOOPBACK)
SECRET_KEY = _secret_key()
PORT = env.int("PORT", 8000)
METRICS_TOKEN = env.str("METRICS_TOKEN", "")
WORKER_METRICS_PORT = env.int("WORKER_METRICS_PORT", None)

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular_sidecar",  # the files of the page at /docs
    "django_celery_results",
    "axes",
    "notifications",
]
ROOT_URLCONF = "project.urls"
WSGI_APPLICATION = "project.wsgi.application"
USE_TZ = True
TIME_ZONE = "UTC"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # before all others: it refuses, and lets nobody in
    "django.contrib.auth.backends.ModelBackend",
]
# A name and an address together: nobody can lock an operator out from somewhere else.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
AXES_DISABLE_ACCESS_LOG = True
AXES_VERBOSE = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # the admin has its style without a collectstatic

HTTPS = env.bool("HTTPS", PUBLIC)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Only browsers are helped by a redirect. A client's POST would come back as a GET, and probes and
# scrapers come from inside, behind the proxy.
SECURE_REDIRECT_EXEMPT = [r"^(?!admin/|docs)"]
SECURE_HSTS_SECONDS = 365 * 86400 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None

SQLITE: dict[str, Any] = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": VAR_DIR / "db.sqlite3",
    "CONN_MAX_AGE": None,
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    },
}


POSTGRES_OPTIONS: dict[str, Any] = {
    # A database that is away must be noticed within the 3 s in which a client gets its 503.
    "connect_timeout": 2,
    # From so many runs on, PostgreSQL keeps the plans of what a delivery executes for each window.
    "prepare_threshold": 50 if env.bool("DATABASE_PREPARE", True) else None,
}


def _database() -> dict[str, Any]:
    if not env.str("DATABASE_URL", ""):
        return SQLITE
    database: dict[str, Any] = dict(env.dj_db_url("DATABASE_URL"))
    if "sqlite" in database["ENGINE"]:
        return {**SQLITE, "NAME": database["NAME"]}
    database["CONN_MAX_AGE"] = 600
    database["CONN_HEALTH_CHECKS"] = True
    database["OPTIONS"] = {**POSTGRES_OPTIONS, **database.get("OPTIONS", {})}
    return database


DATABASES = {"default": _database()}

# All else that the package needs of Celery, `notifications.worker.setup` adds.
CELERY_BROKER_URL = env.str("CELERY_BROKER_URL", "embedded://localhost")
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True

PUBLIC_URL = env.str("PUBLIC_URL", "").rstrip("/")
NOTIFICATIONS: dict[str, Any] = {"PUBLIC_URL": PUBLIC_URL} if PUBLIC_URL else {}
if env.bool("TRACING", False):
    NOTIFICATIONS["TRACING"] = True
if redis_url := env.str("REDIS_URL", ""):
    NOTIFICATIONS["GATES"] = {
        "BACKEND": "notifications.gates.redis",
        "OPTIONS": {"URL": redis_url},
    }

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", "notifications@localhost")
MAIL_TIMEOUT_SECONDS = 8  # below a provider's TIMEOUT, which is 10 unless it is set
MAILER_OPTIONS = {
    "django.core.mail.backends.smtp.EmailBackend": {
        "host": "EMAIL_HOST",
        "port": "EMAIL_PORT",
        "username": "EMAIL_HOST_USER",
        "password": "EMAIL_HOST_PASSWORD",
        "use_tls": "EMAIL_USE_TLS",
        "use_ssl": "EMAIL_USE_SSL",
        "timeout": "EMAIL_TIMEOUT",
    },
    "django.core.mail.backends.filebased.EmailBackend": {"file_path": "EMAIL_FILE_PATH"},
}


def _mail_settings() -> dict[str, Any]:
    """What EMAIL_URL says, as MAILERS where Django knows them (6.1), as EMAIL_* below."""
    mail: dict[str, Any] = dict(env.dj_email_url("EMAIL_URL"))
    if "EMAIL_BACKEND" not in mail:
        raise ImproperlyConfigured(
            "EMAIL_URL has no scheme that is known. Write smtp://HOST:25, "
            "submission://USER:PASSWORD@HOST:587, console: or file:DIRECTORY."
        )
    mail["EMAIL_TIMEOUT"] = mail["EMAIL_TIMEOUT"] or MAIL_TIMEOUT_SECONDS
    if django.VERSION < (6, 1):
        return mail
    names = MAILER_OPTIONS.get(mail["EMAIL_BACKEND"], {})
    options = {option: mail[name] for option, name in names.items()}
    return {"MAILERS": {"default": {"BACKEND": mail["EMAIL_BACKEND"], "OPTIONS": options}}}


def _deliver_by(channel: str, provider: str, backend: str, **options: str) -> None:
    """Take a channel from the simulated provider; options that are empty are left out."""
    given = {name: value for name, value in options.items() if value}
    NOTIFICATIONS.setdefault("CHANNELS", {})[channel] = {"PROVIDERS": [provider]}
    NOTIFICATIONS.setdefault("PROVIDERS", {})[provider] = {
        "BACKEND": f"notifications.providers.{backend}",
        "OPTIONS": given,
    }


if env.str("SIMULATED_RECEIPT_TOKEN", ""):
    NOTIFICATIONS.setdefault("PROVIDERS", {})["simulated"] = {
        "BACKEND": "notifications.providers.simulated.SimulatedProvider",
        "OPTIONS": {"RECEIPT_TOKEN": env.str("SIMULATED_RECEIPT_TOKEN")},
    }

# AWS sets the region by itself wherever it runs a container: that alone must not send e-mail.
if env.str("EMAIL_URL", ""):
    globals().update(_mail_settings())
    _deliver_by("email", "smtp", "django_email.DjangoEmailProvider")
elif env.str("AWS_REGION", "") and env.str("DEFAULT_FROM_EMAIL", ""):
    _deliver_by(
        "email",
        "ses",
        "ses.SESProvider",
        REGION=env.str("AWS_REGION"),
        CONFIGURATION_SET=env.str("AWS_SES_CONFIGURATION_SET", ""),
        RECEIPT_TOPICS=env.str("AWS_SES_RECEIPT_TOPICS", ""),
    )

if env.str("TWILIO_ACCOUNT_SID", ""):
    _deliver_by(
        "sms",
        "twilio",
        "twilio.TwilioProvider",
        ACCOUNT_SID=env.str("TWILIO_ACCOUNT_SID"),
        AUTH_TOKEN=env.str("TWILIO_AUTH_TOKEN", ""),
        API_KEY_SID=env.str("TWILIO_API_KEY_SID", ""),
        API_KEY_SECRET=env.str("TWILIO_API_KEY_SECRET", ""),
        FROM=env.str("TWILIO_FROM", ""),
        MESSAGING_SERVICE_SID=env.str("TWILIO_MESSAGING_SERVICE_SID", ""),
        STATUS_CALLBACK=env.str(
            "TWILIO_STATUS_CALLBACK", f"{PUBLIC_URL}/receipts/twilio" if PUBLIC_URL else ""
        ),
        EDGE=env.str("TWILIO_EDGE", ""),
        REGION=env.str("TWILIO_REGION", ""),
    )

# Three days, as Standard Webhooks suggests: a receiver may be away for a night, or a weekend.
WEBHOOK_SCHEDULE = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]

if env.bool("WEBHOOKS", False):
    _deliver_by("webhook", "webhook", "webhook.WebhookProvider")
    NOTIFICATIONS["CHANNELS"]["webhook"]["RETRY"] = {"SCHEDULE": WEBHOOK_SCHEDULE}
    NOTIFICATIONS["PROVIDERS"]["webhook"]["TIMEOUT"] = 15
if env.bool("WEBHOOK_LOOPBACK", False):
    NOTIFICATIONS["WEBHOOK_LOOPBACK"] = True

LOGGING = logging_config(
    env.str("LOG_FORMAT", "line", validate=validate.OneOf(["line", "json"])),
    level=env.str("LOG_LEVEL", "INFO").upper(),
    events=env.bool("LOG_EVENTS", True),
    debug=DEBUG,
)
# Anybody can send any Host; it is answered with 400 and told as such by `django.request`.
LOGGING["handlers"]["null"] = {"class": "logging.NullHandler"}
LOGGING["loggers"]["django.security.DisallowedHost"] = {"handlers": ["null"], "propagate": False}
