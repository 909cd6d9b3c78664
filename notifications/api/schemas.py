"""The shapes of requests and answers, as JSON Schema (2020-12, as OpenAPI 3.1 has it)."""

from collections.abc import Iterable
from typing import Any

from .. import email_content, preference, validation
from ..enums import (
    AttemptOutcome,
    Channel,
    DisabledReason,
    Priority,
    ReceiptState,
    Status,
    SuppressionReason,
    WaitReason,
)
from ..messages import DIGEST_COUNT
from ..segments import GSM7, UCS2
from ..suppression import NOTE_MAX
from ..template_validation import CHANNEL_OF
from .endpoints import DESCRIPTION_MAX, EVENT_NAMES
from .views import BATCH_MAX

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def text(**more: Any) -> Schema:
    return {"type": "string", **more}


def one_of(words: Iterable[str]) -> Schema:
    return {"type": "string", "enum": list(words)}


def listing(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def addresses(most: int, **more: Any) -> Schema:
    return listing(text(), minItems=1, maxItems=most, **more)


def shape(properties: dict[str, Schema], required: Iterable[str] | None = None) -> Schema:
    """An object; all of its properties are there unless `required` names those that must be."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties if required is None else required),
    }


def strict(properties: dict[str, Schema], required: Iterable[str]) -> Schema:
    """An object of a request: what it does not know, it refuses."""
    return {**shape(properties, required), "additionalProperties": False}


TIME = text(format="date-time")
ID = text(format="uuid")
URL = text(format="uri")
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
KEY = text(minLength=1, maxLength=255, description="1 to 255 visible ASCII characters.")
METADATA: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
STATUSES = [status.value for status in Status]
CHANNELS = [channel.value for channel in Channel]
TEMPLATE_CHANNELS = list(CHANNEL_OF)

ATTACHMENT = strict(
    {
        "filename": text(minLength=1, maxLength=email_content.FILENAME_MAX),
        "content": text(contentEncoding="base64"),
        "content_type": nullable(
            text(description="As application/pdf; by default what its name says.")
        ),
        "content_id": nullable(
            text(
                description="A word under which the HTML shows it: logo for src='cid:logo'.",
                pattern=f"^{email_content.CONTENT_ID.pattern}$",
            )
        ),
    },
    required=("filename", "content"),
)

ATTACHED_FILE = shape(
    {
        "filename": text(),
        "content_type": text(),
        "size": {**COUNT, "description": "In bytes."},
        "content_id": nullable(text()),
    }
)

REQUEST = strict(
    {
        "channel": one_of(CHANNELS),
        "to": text(
            description="An e-mail address, a number in E.164 or an https URL.",
            examples=["ada@example.com"],
        ),
        "template": nullable(text(description="The name of a template, instead of content.")),
        "context": nullable({"type": "object", "description": "What fills the template."}),
        "category": nullable(
            text(description="What recipients can opt out of; of a template it is the template's.")
        ),
        "digest": nullable(ref("DigestRule")),
        "subject": text(description="E-mail."),
        "body": text(description="E-mail and SMS."),
        "html": text(description="E-mail."),
        "from": text(
            description="E-mail: an address of the tenant's senders, with a name or without.",
            examples=["Shop <orders@example.com>"],
        ),
        "reply_to": {
            "anyOf": [text(), addresses(email_content.REPLY_TO_MAX)],
            "description": "E-mail: whom an answer goes to.",
        },
        "cc": addresses(
            email_content.COPIES_MAX, description="E-mail: who gets it too, for all to see."
        ),
        "bcc": addresses(
            email_content.COPIES_MAX, description="E-mail: who gets it too, unseen by the others."
        ),
        "headers": {
            "type": "object",
            "description": "E-mail: further headers, above all those that begin with X-.",
            "maxProperties": email_content.HEADERS_MAX,
            "additionalProperties": text(maxLength=email_content.HEADER_MAX),
        },
        "attachments": listing(
            ref("Attachment"),
            description="E-mail: files, within the size of the body.",
            maxItems=email_content.ATTACHMENTS_MAX,
        ),
        "event": text(description="Webhook."),
        "payload": {"description": "Webhook: any JSON."},
        "priority": {**one_of(Priority.labels), "default": Priority.NORMAL.label},
        "send_at": nullable(TIME),
        "expires_at": nullable(TIME),
        "idempotency_key": nullable(KEY),
        "metadata": nullable(METADATA),
    },
    required=("channel", "to"),
)

NOTIFICATION = shape(
    {
        "id": ID,
        "url": URL,
        "channel": one_of(CHANNELS),
        "to": text(),
        "template": nullable(text()),
        "subject": nullable(text()),
        "category": nullable(text()),
        "priority": one_of(Priority.labels),
        "status": one_of(STATUSES),
        "created_at": TIME,
        "send_at": nullable(TIME),
        "expires_at": nullable(TIME),
        "sent_at": nullable(TIME),
        "settled_at": nullable(TIME),
        "idempotency_key": nullable(KEY),
        "batch": nullable(ID),
        "provider": nullable(text()),
        "provider_message_id": nullable(text()),
        "attempt_count": COUNT,
        "next_attempt_at": nullable(TIME),
        "error": nullable(shape({"code": text(), "detail": text()})),
        "duplicate_risk": FLAG,
        "metadata": METADATA,
    }
)

ATTEMPT = shape(
    {
        "number": {"type": "integer", "minimum": 1},
        "provider": text(),
        "outcome": one_of(AttemptOutcome.values),
        "code": nullable(text()),
        "detail": nullable(text()),
        "started_at": TIME,
        "finished_at": TIME,
        "duration_ms": COUNT,
    }
)

RECEIPT = shape(
    {
        "kind": one_of(ReceiptState.labels),
        "provider": text(),
        "recipient": nullable(text()),
        "occurred_at": TIME,
        "received_at": TIME,
    }
)

WAITING = shape(
    {
        "reason": one_of(WaitReason.values),
        "scope": nullable(text()),
        "until": nullable(TIME),
        "detail": text(),
    }
)

DETAIL: Schema = {
    "allOf": [
        ref("Notification"),
        shape(
            {
                "from": nullable(text(description="E-mail: null for the provider's own.")),
                "reply_to": listing(text()),
                "cc": listing(text()),
                "bcc": listing(text()),
                "attachments": listing(ref("AttachedFile")),
                "attempts": listing(ref("Attempt")),
                "receipts": listing(ref("Receipt")),
                "digest": nullable(ref("Digest")),
                "waiting": nullable(ref("Waiting")),
            }
        ),
    ]
}

CANCEL_REQUESTED: Schema = {
    "allOf": [ref("Notification"), shape({"cancel_requested": {"const": True}})]
}

PAGE = shape(
    {
        "results": listing(ref("Notification")),
        "next": nullable(URL),
        "previous": nullable(URL),
    }
)

ENDPOINT_FIELDS: dict[str, Schema] = {
    "url": text(description="An https URL of a public host."),
    "description": text(maxLength=DESCRIPTION_MAX),
    "events": listing(one_of(EVENT_NAMES), description="What it is told of by itself."),
}

ENDPOINT = shape(
    {
        "id": text(description="A UUID, or `default`."),
        "url": nullable(URL),
        "description": text(),
        "events": listing(one_of(EVENT_NAMES)),
        "is_active": FLAG,
        "disabled_reason": nullable(one_of(DisabledReason.values)),
        "failing_since": nullable(TIME),
        "former_secret_until": nullable(TIME),
        "created_at": TIME,
    }
)

CATEGORY = text(
    pattern=f"^{validation.TEMPLATE_NAME.pattern}$",
    maxLength=validation.CATEGORY_MAX,
    description="What recipients can opt out of, such as news.",
)
TEMPLATE_NAME = text(pattern=f"^{validation.TEMPLATE_NAME.pattern}$", maxLength=100)
TEMPLATE_PARTS = {"subject": "E-mail.", "body": "E-mail and SMS.", "html": "E-mail."}

TEMPLATE_REQUEST = strict(
    {
        "channel": one_of(TEMPLATE_CHANNELS),
        "is_transactional": {**FLAG, "default": True},
        "category": nullable(CATEGORY),
        **{name: nullable(text(description=d)) for name, d in TEMPLATE_PARTS.items()},
    },
    required=("channel",),
)

TEMPLATE = shape(
    {
        "name": TEMPLATE_NAME,
        "url": URL,
        "channel": one_of(TEMPLATE_CHANNELS),
        "is_transactional": FLAG,
        "category": nullable(CATEGORY),
        "version": {"type": "integer", "minimum": 1},
        "created_at": TIME,
        "updated_at": TIME,
    }
)

RENDERED = {name: nullable(text()) for name in TEMPLATE_PARTS}

TEMPLATE_PAGE = shape(
    {"results": listing(ref("Template")), "next": nullable(URL), "previous": nullable(URL)}
)

PREVIEW = shape(
    {
        **RENDERED,
        "segments": nullable({"type": "integer", "minimum": 1}),
        "encoding": nullable(one_of((GSM7, UCS2))),
    }
)

FIELD_ERROR = shape(
    {
        "pointer": text(description="A JSON pointer into the body, or a slash and a parameter."),
        "code": text(),
        "detail": text(),
    }
)

BATCH_REQUEST = strict(
    {
        "notifications": listing(
            {"description": "A NotificationRequest; one that is not is rejected by itself."},
            minItems=1,
            maxItems=BATCH_MAX,
        )
    },
    required=("notifications",),
)

BATCH_ANSWER = shape(
    {
        "id": ID,
        "accepted": COUNT,
        "replayed": COUNT,
        "rejected": COUNT,
        "results": listing(
            shape(
                {
                    "index": COUNT,
                    "outcome": one_of(("accepted", "replayed", "rejected")),
                    "id": nullable(ID),
                    "errors": listing(ref("FieldError")),
                }
            )
        ),
        "url": URL,
    }
)

BATCH = shape(
    {
        "id": ID,
        "url": URL,
        "created_at": TIME,
        "total": COUNT,
        "counts": shape(dict.fromkeys(STATUSES, COUNT)),
        "finished_at": nullable(TIME),
        "forecast": {
            **nullable(TIME),
            "description": "When it will have gone, if nothing changes; null if nobody knows.",
        },
        "forecast_detail": nullable(text(description="What decides, or why nobody knows.")),
    }
)

REHEARSAL = shape(
    {
        "dry_run": {"const": True},
        "outcome": one_of(("accepted", "replayed", "conflict")),
        "answer": {"enum": [202, 200, 422], "description": "The status without `dry_run`."},
        "stored": nullable(shape({"id": ID, "url": URL})),
        "status": nullable(one_of(STATUSES)),
        "channel": one_of(CHANNELS),
        "to": text(),
        "template": nullable(text()),
        "priority": one_of(Priority.labels),
        "send_at": nullable(TIME),
        "expires_at": nullable(TIME),
        "content": {"type": "object", "description": "What would be sent, rendered."},
        "segments": nullable({"type": "integer", "minimum": 1}),
        "encoding": nullable(one_of((GSM7, UCS2))),
        "metadata": METADATA,
        "suppression": nullable(shape({"code": text(), "detail": text()})),
        "providers": listing(
            shape(
                {
                    "name": text(),
                    "weight": nullable({"type": "integer", "minimum": 1}),
                    "waiting": nullable(ref("Waiting")),
                }
            ),
            description="Who would be asked, in this order.",
        ),
        "limits": listing(
            shape({"scope": text(), "per_second": {"type": "number"}, "available": COUNT})
        ),
        "waiting": nullable(ref("Waiting")),
        "earliest_send_at": nullable(TIME),
        "warning": nullable(text()),
    }
)

DIGEST_RULE = strict(
    {
        "key": text(
            pattern=f"^{validation.DIGEST_KEY.pattern}$", description="What belongs together."
        ),
        "template": text(description="The template that is sent, of the same category."),
        "window": {
            "type": "integer",
            "minimum": 1,
            "maximum": validation.DIGEST_WINDOW_MAX,
            "description": "In seconds.",
        },
        "sliding": {
            **FLAG,
            "default": False,
            "description": "Whether each one that comes makes the window begin anew.",
        },
        "max_count": {
            "type": "integer",
            "minimum": 2,
            "maximum": validation.DIGEST_COUNT_MAX,
            "default": DIGEST_COUNT,
        },
    },
    required=("key", "template", "window"),
)

DIGEST = shape(
    {
        "id": ID,
        "key": text(),
        "count": COUNT,
        "closes_at": TIME,
        "notification": nullable(ID),
    }
)

QUIET_HOURS = strict(
    {
        "start": text(pattern=f"^{preference.CLOCK.pattern}$", examples=["22:00"]),
        "end": text(pattern=f"^{preference.CLOCK.pattern}$", examples=["07:00"]),
        "time_zone": text(examples=["Europe/Berlin"]),
    },
    required=("start", "end", "time_zone"),
)

PREFERENCE_REQUEST = strict(
    {
        "channel": one_of(CHANNELS),
        "recipient": text(description="What `to` of a notification may be."),
        "opt_outs": nullable(listing(CATEGORY, maxItems=preference.OPT_OUTS_MAX)),
        "quiet_hours": nullable(ref("QuietHours")),
    },
    required=("channel", "recipient"),
)

PREFERENCE = shape(
    {
        "id": ID,
        "channel": one_of(CHANNELS),
        "recipient": text(description="As it is compared: an e-mail address in small letters."),
        "opt_outs": listing(text()),
        "quiet_hours": nullable(ref("QuietHours")),
        "created_at": TIME,
    }
)

PREFERENCE_PAGE = shape(
    {"results": listing(ref("Preference")), "next": nullable(URL), "previous": nullable(URL)}
)

REASONS = SuppressionReason.values

SUPPRESSION = shape(
    {
        "id": ID,
        "channel": one_of(CHANNELS),
        "recipient": text(description="As it is compared: an e-mail address in small letters."),
        "reason": one_of(REASONS),
        "note": text(),
        "created_at": TIME,
        "expires_at": nullable(TIME),
    }
)

SUPPRESSION_REQUEST = strict(
    {
        "channel": one_of(CHANNELS),
        "recipient": text(description="What `to` of a notification may be."),
        "reason": {**one_of(REASONS), "default": SuppressionReason.MANUAL.value},
        "note": nullable(text(maxLength=NOTE_MAX)),
        "expires_at": nullable(TIME),
    },
    required=("channel", "recipient"),
)

SUPPRESSION_PAGE = shape(
    {
        "results": listing(ref("Suppression")),
        "next": nullable(URL),
        "previous": nullable(URL),
    }
)

PROBLEM = shape(
    {
        "type": text(),
        "title": text(),
        "status": {"type": "integer"},
        "detail": text(),
        "code": text(),
        "errors": listing(ref("FieldError")),
        "request_id": text(),
    }
)

PART = shape({"ok": FLAG, "detail": text()})

SCHEMAS: dict[str, Schema] = {
    "NotificationRequest": REQUEST,
    "Attachment": ATTACHMENT,
    "AttachedFile": ATTACHED_FILE,
    "Notification": NOTIFICATION,
    "NotificationDetail": DETAIL,
    "NotificationPage": PAGE,
    "CancelRequested": CANCEL_REQUESTED,
    "Rehearsal": REHEARSAL,
    "NotificationOrRehearsal": {"anyOf": [ref("Notification"), ref("Rehearsal")]},
    "Attempt": ATTEMPT,
    "Receipt": RECEIPT,
    "Waiting": WAITING,
    "RetryRequest": strict({"accept_duplicate_risk": FLAG}, required=()),
    "CancelRequest": strict({}, required=()),
    "BatchRequest": BATCH_REQUEST,
    "BatchAnswer": BATCH_ANSWER,
    "Batch": BATCH,
    "CancelledBatch": {"allOf": [ref("Batch"), shape({"cancelled": COUNT})]},
    "EndpointRequest": strict(ENDPOINT_FIELDS, required=("url",)),
    "EndpointChange": strict(ENDPOINT_FIELDS, required=()),
    "Endpoint": ENDPOINT,
    "EndpointList": shape({"results": listing(ref("Endpoint"))}),
    "EndpointWithSecret": {"allOf": [ref("Endpoint"), shape({"secret": text()})]},
    "NoFields": strict({}, required=()),
    "TemplateRequest": TEMPLATE_REQUEST,
    "Template": TEMPLATE,
    "TemplateDetail": {"allOf": [ref("Template"), shape(RENDERED)]},
    "TemplatePage": TEMPLATE_PAGE,
    "PreviewRequest": strict({"context": nullable({"type": "object"})}, required=()),
    "Preview": PREVIEW,
    "DigestRule": DIGEST_RULE,
    "Digest": DIGEST,
    "QuietHours": QUIET_HOURS,
    "Preference": PREFERENCE,
    "PreferenceRequest": PREFERENCE_REQUEST,
    "PreferencePage": PREFERENCE_PAGE,
    "Suppression": SUPPRESSION,
    "SuppressionRequest": SUPPRESSION_REQUEST,
    "SuppressionPage": SUPPRESSION_PAGE,
    "FieldError": FIELD_ERROR,
    "Problem": PROBLEM,
    "ReceiptsAnswer": shape({"received": COUNT}),
    "Health": shape({"status": {"const": "ok"}}),
    "Readiness": shape(
        {
            "status": one_of(("ready", "not_ready")),
            "checks": shape({"database": PART, "broker": PART, "worker": PART}),
        }
    ),
}
