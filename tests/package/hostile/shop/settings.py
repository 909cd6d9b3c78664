"""Everything that a project may have set otherwise, at once."""

import os
from pathlib import Path

from kombu import Queue

DIRECTORY = Path(os.environ["SHOP_DIRECTORY"])

SECRET_KEY = "of-the-shop-and-long-enough-0123456789-abcdefghijklmnopq"
DEBUG = False
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = [
    "shop.admin.ShopAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "people",
    "notifications",
]
AUTH_USER_MODEL = "people.Person"
DEFAULT_AUTO_FIELD = "django.db.models.SmallAutoField"
MIGRATION_MODULES = {"people": None}

USE_TZ = False
TIME_ZONE = "America/New_York"
LANGUAGE_CODE = "de"
LANGUAGES = [("de", "Deutsch"), ("fr", "Français"), ("en", "English")]

ROOT_URLCONF = "shop.urls"
STATIC_URL = "/static/"
APPEND_SLASH = True
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
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


def sqlite(name: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DIRECTORY / name,
        "ATOMIC_REQUESTS": True,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL;",
        },
    }


DATABASES = {"default": sqlite("shop.sqlite3"), "letters": sqlite("letters.sqlite3")}
DATABASE_ROUTERS = ["shop.router.Router"]

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["shop.rest.Renderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.FormParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["shop.rest.Authentication"],
    "DEFAULT_PERMISSION_CLASSES": ["shop.rest.Nobody"],
    "DEFAULT_THROTTLE_CLASSES": ["shop.rest.Throttle"],
    "DEFAULT_VERSIONING_CLASS": "rest_framework.versioning.AcceptHeaderVersioning",
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "shop.rest.Negotiation",
    "DEFAULT_SCHEMA_CLASS": "shop.rest.Schema",
    "EXCEPTION_HANDLER": "shop.rest.handle",
    "URL_FIELD_NAME": "href",
    "DATETIME_FORMAT": "%d.%m.%Y",
    "COERCE_DECIMAL_TO_STRING": False,
    "UNAUTHENTICATED_USER": None,
}

QUEUE_BROKER_URL = "embedded://"
QUEUE_BROKER_TRANSPORT_OPTIONS = {"global_keyprefix": "shop-"}
QUEUE_TASK_DEFAULT_QUEUE = "shop.default"
QUEUE_TASK_QUEUES = [Queue("shop.default"), Queue("shop.slow")]
QUEUE_TASK_ROUTES = {"*": {"queue": "shop.default"}}
QUEUE_TASK_CREATE_MISSING_QUEUES = False
QUEUE_TIMEZONE = "Asia/Tokyo"

NOTIFICATIONS = {
    "DEFAULT_TENANT": "shop",
    "CHANNELS": {"sms": {"RECIPIENT": "people.models.phone_of"}},
}
SILENCED_SYSTEM_CHECKS = ["notifications.W020"]  # the letters are apart on purpose
