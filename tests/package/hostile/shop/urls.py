from django.contrib import admin
from django.urls import include, path

from notifications.admin import register

from .admin import support

register(support)

urlpatterns = [
    path("verwaltung/", admin.site.urls),
    path("support/", support.urls),
    path("intern/post/", include("notifications.urls")),
]
