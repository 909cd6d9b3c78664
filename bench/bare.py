"""What accepting is measured against: a plain DRF view that inserts the same row, and no more.

No key is checked, nothing is looked up, and nobody is told that there is something to send:
`POST /send` alone tells plain Celery, from inside the request.
"""

from functools import cache

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
        data = serializer.validated_data
        row = Notification.objects.create(
            tenant_id=_tenant_id(),
            channel=data["channel"],
            to=data["to"],
            content={"subject": data["subject"], "body": data["body"]},
            metadata=data["metadata"],
            idempotency_key=data["idempotency_key"],
            fingerprint="0" * 64,
        )
        return Response({"id": str(row.pk), **data}, status=202)


class SendView(BareView):
    def post(self, request: Request) -> Response:
        answer = super().post(request)
        bare_celery.deliver.delay(answer.data["id"])
        return answer


@cache
def _tenant_id() -> int:
    return Tenant.objects.values_list("pk", flat=True).get()


urlpatterns = [path("notify", BareView.as_view()), path("send", SendView.as_view())]
