"""The HTTP interface: `path("", include("notifications.urls"))`."""

from importlib.util import find_spec

from django.apps import apps
from django.urls import path, re_path

from .api import (
    endpoints,
    openapi,
    operations,
    preferences,
    receipts,
    suppressions,
    templates,
    unsubscribe,
    views,
)

app_name = "notifications"

urlpatterns = [
    path("notify", views.NotifyView.as_view(), name="notify"),
    path("notify/batch", views.NotifyBatchView.as_view(), name="notify-batch"),
    path("notifications", views.NotificationListView.as_view(), name="notifications"),
    path("notifications/<str:id>", views.NotificationView.as_view(), name="notification"),
    path("notifications/<str:id>/cancel", views.CancelView.as_view(), name="cancel"),
    path("notifications/<str:id>/retry", views.RetryView.as_view(), name="retry"),
    path("batches/<str:id>", views.BatchView.as_view(), name="batch"),
    path("batches/<str:id>/cancel", views.CancelBatchView.as_view(), name="cancel-batch"),
    path("endpoints", endpoints.EndpointListView.as_view(), name="endpoints"),
    path("endpoints/<str:id>", endpoints.EndpointView.as_view(), name="endpoint"),
    path("endpoints/<str:id>/rotate", endpoints.RotateView.as_view(), name="rotate-endpoint"),
    path("endpoints/<str:id>/enable", endpoints.EnableView.as_view(), name="enable-endpoint"),
    path("templates", templates.TemplateListView.as_view(), name="templates"),
    path("templates/<str:name>", templates.TemplateView.as_view(), name="template"),
    path("templates/<str:name>/preview", templates.PreviewView.as_view(), name="preview"),
    path("suppressions", suppressions.SuppressionListView.as_view(), name="suppressions"),
    path("suppressions/<str:id>", suppressions.SuppressionView.as_view(), name="suppression"),
    path("preferences", preferences.PreferenceListView.as_view(), name="preferences"),
    path("preferences/<str:id>", preferences.PreferenceView.as_view(), name="preference"),
    path("unsubscribe/<str:token>", unsubscribe.UnsubscribeView.as_view(), name="unsubscribe"),
    path("receipts/<str:provider>", receipts.ReceiptsView.as_view(), name="receipts"),
    path("healthz", operations.HealthView.as_view(), name="healthz"),
    path("readyz", operations.ReadyView.as_view(), name="readyz"),
    path("schema", openapi.SchemaView.as_view(), name="schema"),
]

if find_spec("prometheus_client"):
    from .api.metrics import MetricsView

    urlpatterns += [path("metrics", MetricsView.as_view(), name="metrics")]

if apps.is_installed("drf_spectacular_sidecar"):
    urlpatterns += [path("docs", openapi.DocsView.as_view(), name="docs")]

OURS = r"^(notify|notifications|batches|endpoints|preferences|suppressions|templates|receipts)/"

urlpatterns += [re_path(OURS, views.NothingView.as_view())]
