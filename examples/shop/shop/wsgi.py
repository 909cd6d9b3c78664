"""The WSGI application."""

import os

from django.core.wsgi import get_wsgi_application

from notifications.api.wsgi import guard

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

application = guard(get_wsgi_application())
