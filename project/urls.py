"""Everything the sample project serves."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("notifications.urls")),
]

if settings.DEBUG and settings.NOTIFICATIONS.get("WEBHOOK_LOOPBACK"):
    urlpatterns.insert(0, path("receiver/", include("project.receiver")))

handler400 = "notifications.api.handlers.bad_request"
handler403 = "notifications.api.handlers.permission_denied"
handler404 = "notifications.api.handlers.not_found"
handler500 = "notifications.api.handlers.server_error"
