from django.contrib import admin
from django.contrib.auth.views import PasswordResetView
from django.contrib.staticfiles.urls import staticfiles_urlpatterns
from django.urls import include, path

urlpatterns = [
    path("", include("orders.urls")),
    path("api/", include("notifications.urls")),
    # By this name, the login page of the admin asks "Forgotten your password?".
    path("admin/password_reset/", PasswordResetView.as_view(), name="admin_password_reset"),
    path("admin/", admin.site.urls),
    path("accounts/", include("django.contrib.auth.urls")),
    *staticfiles_urlpatterns(),
]
