"""Requests as they are meant, for the document: each is accepted as it stands."""

from typing import Any

Example = dict[str, Any]

EMAIL: Example = {
    "channel": "email",
    "to": "ada@example.com",
    "subject": "Your order is on its way",
    "body": "Hello Ada, order 7 has left us.",
}
SMS: Example = {"channel": "sms", "to": "+14155550123", "body": "Order 7 has left us."}
WEBHOOK: Example = {
    "channel": "webhook",
    "to": "https://example.com/hook",
    "event": "order.shipped",
    "payload": {"order": 7},
}

EXAMPLES: dict[str, dict[str, Example]] = {
    "NotificationRequest": {"email": EMAIL, "sms": SMS, "webhook": WEBHOOK},
    "BatchRequest": {"two": {"notifications": [EMAIL, SMS]}},
    "EndpointRequest": {
        "told": {"url": "https://example.com/hook", "events": ["notification.delivered"]}
    },
    "EndpointChange": {"renamed": {"description": "Orders"}},
    "TemplateRequest": {"sms": {"channel": "sms", "body": "Order {{ order }} has left us."}},
    "SuppressionRequest": {"left": {"channel": "email", "recipient": "ada@example.com"}},
}
"""By the name of the schema that they are of."""
