"""What accepting is measured against: plain DRF views that insert the same rows, and no more.

No key is checked, nothing is looked up, and nobody is told that there is something to send:
`POST /send` alone tells plain Celery, from inside the request.
"""

from functools import cache
from typing import Any

from django.urls import path
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from notifications.enums import Channel
from notifications.models import Notification, Tenant

from . import bare_celery


class NotificationSerializer(serializers.Serializer):
    channel = serializers.ChoiceField(Channel.choices)
    to = serializers.EmailField()
    subject = serializers.CharField()
    body = serializers.CharField()
    idempotency_key = serializers.CharField(max_length=255)
    metadata = serializers.DictField(child=serializers.CharField())


class BareView(APIView):
    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        serializer = NotificationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        row = _row(serializer.validated_data)
        row.save(force_insert=True)
        return Response({"id": str(row.pk), **serializer.validated_data}, status=202)


class BareBatchView(APIView):
    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        serializer = NotificationSerializer(data=request.data["notifications"], many=True)
        serializer.is_valid(raise_exception=True)
        rows = Notification.objects.bulk_create(map(_row, serializer.validated_data))
        return Response({"ids": [str(row.pk) for row in rows]}, status=202)


def _row(data: dict[str, Any]) -> Notification:
    return Notification(
        tenant_id=_tenant_id(),
        channel=data["channel"],
        to=data["to"],
        content={"subject": data["subject"], "body": data["body"]},
        metadata=data["metadata"],
        idempotency_key=data["idempotency_key"],
        fingerprint="0" * 64,
    )


class SendView(BareView):
    def post(self, request: Request) -> Response:
        answer = super().post(request)
        bare_celery.deliver.delay(answer.data["id"])
        return answer


@cache
def _tenant_id() -> int:
    return Tenant.objects.values_list("pk", flat=True).earliest("pk")


urlpatterns = [
    path("notify", BareView.as_view()),
    path("notify/batch", BareBatchView.as_view()),
    path("send", SendView.as_view()),
]
