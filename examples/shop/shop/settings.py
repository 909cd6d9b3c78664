"""A shop on this machine, for trying out: what is particular to notifications is at the end.

With no variable set, e-mails are printed in the terminal, text messages and webhooks go nowhere.
"""

from os import environ as env
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = env.get("SECRET_KEY", "for-trying-out-on-one-machine-and-for-nothing-else")
DEBUG = True

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "notifications",
    "orders",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
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
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
STATIC_URL = "static/"
LOGIN_URL = "admin:login"
TIME_ZONE = "UTC"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        # The web server and the worker write at the same time.
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        },
    }
}

CELERY_BROKER_URL = env.get("CELERY_BROKER_URL", "embedded://")  # inside of the process

# Notifications: which way each channel goes, and that Django's own e-mails go the same way.

PARTNER_URL = env.get("PARTNER_URL", "https://partner.example.com/hooks")
DEFAULT_FROM_EMAIL = env.get("DEFAULT_FROM_EMAIL", "Tea Shop <shop@example.com>")
EMAIL_HOST = env.get("EMAIL_HOST", "")
EMAIL_PORT = int(env.get("EMAIL_PORT", "25"))
EMAIL_TIMEOUT = 8
EMAIL_BACKEND = "notifications.mail.EmailBackend"
MAIL_GOES_BY = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"

NOTIFICATIONS = {
    "DEFAULT_TENANT": "shop",
    "CHANNELS": {
        "email": {"PROVIDERS": ["mail"]},
        "sms": {"PROVIDERS": ["twilio" if "TWILIO_ACCOUNT_SID" in env else "simulated"]},
        "webhook": {"PROVIDERS": ["webhook" if "PARTNER_URL" in env else "simulated"]},
    },
    "PROVIDERS": {
        "mail": {
            "BACKEND": "notifications.providers.django_email.DjangoEmailProvider",
            "OPTIONS": {"BACKEND": MAIL_GOES_BY},
        },
        "webhook": {"BACKEND": "notifications.providers.webhook.WebhookProvider"},
    },
    "MAIL": {"PRIORITY": "urgent"},  # somebody waits for a password
    "WEBHOOK_LOOPBACK": PARTNER_URL.startswith("http://"),  # a partner on this machine
}

if "TWILIO_ACCOUNT_SID" in env:
    NOTIFICATIONS["PROVIDERS"]["twilio"] = {
        "BACKEND": "notifications.providers.twilio.TwilioProvider",
        "OPTIONS": {
            "ACCOUNT_SID": env["TWILIO_ACCOUNT_SID"],
            "AUTH_TOKEN": env["TWILIO_AUTH_TOKEN"],
            "FROM": env["TWILIO_FROM"],
        },
    }
