"""The OpenAPI 3.1 document at `/schema`, and the page to try it at `/docs`.

Written down rather than derived: requests are judged by `validation`, which no generator reads.
That paths, methods and answers agree with it is shown by tests.
"""

from typing import Any

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response

from ..enums import KeyScope, Priority
from .base import View
from .examples import EXAMPLES
from .problems import (
    BUSY_RETRY_SECONDS,
    DATABASE_RETRY_SECONDS,
    REQUEST_ID_HEADER,
)
from .query import PAGE_SIZE, PAGE_SIZE_MAX
from .schemas import (
    CHANNELS,
    ID,
    KEY,
    REASONS,
    SCHEMAS,
    STATUSES,
    TEMPLATE_NAME,
    TIME,
    Schema,
    one_of,
    ref,
    text,
)

VERSION = "1"


class SchemaView(View):
    """`GET /schema`"""

    def get(self, request: Request) -> Response:
        root = request.build_absolute_uri(request.path).removesuffix("/schema")
        return Response({**DOCUMENT, "servers": [{"url": root}]})


class DocsView(View):
    """`GET /docs`"""

    def get(self, request: Request) -> HttpResponse:
        context = {"schema_url": reverse("notifications:schema")}
        return HttpResponse(render_to_string("notifications/docs.html", context))


def _json(schema: str) -> Schema:
    return {"application/json": {"schema": ref(schema)}}


def _body(schema: str, *, required: bool = True) -> Schema:
    examples = {name: {"value": value} for name, value in EXAMPLES.get(schema, {}).items()}
    media = {"schema": ref(schema)} | ({"examples": examples} if examples else {})
    return {"required": required, "content": {"application/json": media}}


def _answer(description: str, schema: str, **headers: Schema) -> Schema:
    named = {name.replace("_", "-"): {"schema": value} for name, value in headers.items()}
    return {"description": description, "content": _json(schema)} | (
        {"headers": named} if named else {}
    )


def _problems(*statuses: int) -> Schema:
    names = {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}
    return {**names, "500": {"$ref": "#/components/responses/500"}}


def _problem(description: str, **headers: Schema) -> Schema:
    named = {name.replace("_", "-"): {"schema": value} for name, value in headers.items()}
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": ref("Problem")}},
        "headers": {REQUEST_ID_HEADER: {"schema": text()}, **named},
    }


def _for(scope: KeyScope) -> list[Schema]:
    """A key with this scope."""
    return [{"bearer": [scope.value]}]


def _parameter(name: str, schema: Schema, description: str = "") -> Schema:
    found = {"name": name, "in": "query", "required": False, "schema": schema}
    return found | ({"description": description} if description else {})


READING = (400, 401, 403, 404, 405, 429, 503)
WRITING = (400, 401, 403, 404, 405, 413, 415, 429, 503)
ACCEPTING = (400, 401, 403, 405, 409, 413, 415, 422, 429, 503)

URI = text(format="uri")
REPLAYED = {"const": "true"}
BY_ID = {"name": "id", "in": "path", "required": True, "schema": ID}
BY_ID_OR_DEFAULT = {**BY_ID, "schema": {"anyOf": [ID, {"const": "default"}]}}
BY_NAME = {"name": "name", "in": "path", "required": True, "schema": TEMPLATE_NAME}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": KEY,
    "description": "A request of the same key and content happens once, however often it is sent.",
}

PAGING = [
    _parameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": PAGE_SIZE_MAX, "default": PAGE_SIZE},
    ),
    _parameter("cursor", text(), "From `next` or `previous` of a page."),
]

FILTERS = [
    _parameter("status", one_of(STATUSES)),
    _parameter("channel", one_of(CHANNELS)),
    _parameter("priority", one_of(Priority.labels)),
    _parameter("to", text(), "Exactly as the notification shows it."),
    _parameter("batch", ID),
    _parameter("digest", ID, "What was gathered in it, and what sends it."),
    _parameter("template", TEMPLATE_NAME),
    _parameter("idempotency_key", KEY),
    _parameter("created_after", TIME, "Created then or later."),
    _parameter("created_before", TIME, "Created earlier."),
    *PAGING,
]

DRY_RUN = _parameter(
    "dry_run", {"type": "boolean", "default": False}, "Tell what would happen, and store nothing."
)

PATHS: dict[str, Schema] = {
    "/notify": {
        "post": {
            "operationId": "notify",
            "security": _for(KeyScope.NOTIFY),
            "summary": "Send a notification",
            "description": "It is stored when this answers 202, and will be sent or accounted for.",
            "tags": ["notifications"],
            "parameters": [DRY_RUN, IDEMPOTENCY_KEY],
            "requestBody": _body("NotificationRequest"),
            "responses": {
                "202": _answer("Accepted.", "Notification", Location=URI),
                "200": _answer(
                    "The key was used before: the notification as it is now. "
                    "With `dry_run`: what would happen.",
                    "NotificationOrRehearsal",
                    Idempotent_Replayed=REPLAYED,
                    Location=URI,
                ),
                **_problems(*ACCEPTING),
            },
        }
    },
    "/notify/batch": {
        "post": {
            "operationId": "notifyBatch",
            "security": _for(KeyScope.NOTIFY),
            "summary": "Send up to a thousand notifications",
            "description": "Its items are independent; 400 only when none could be accepted.",
            "tags": ["notifications"],
            "parameters": [IDEMPOTENCY_KEY],
            "requestBody": _body("BatchRequest"),
            "responses": {
                "202": _answer("What became of each.", "BatchAnswer", Location=URI),
                "200": _answer(
                    "The key was used before: what was answered then.",
                    "BatchAnswer",
                    Idempotent_Replayed=REPLAYED,
                    Location=URI,
                ),
                **_problems(*ACCEPTING),
            },
        }
    },
    "/notifications": {
        "get": {
            "operationId": "listNotifications",
            "security": _for(KeyScope.READ),
            "summary": "List notifications, newest first",
            "tags": ["notifications"],
            "parameters": FILTERS,
            "responses": {
                "200": _answer("A page.", "NotificationPage"),
                **_problems(400, 401, 403, 405, 429, 503),
            },
        }
    },
    "/notifications/{id}": {
        "parameters": [BY_ID],
        "get": {
            "operationId": "getNotification",
            "security": _for(KeyScope.READ),
            "summary": "Show a notification with its attempts and receipts",
            "tags": ["notifications"],
            "responses": {
                "200": _answer("The notification.", "NotificationDetail"),
                **_problems(*READING),
            },
        },
    },
    "/notifications/{id}/cancel": {
        "parameters": [BY_ID],
        "post": {
            "operationId": "cancelNotification",
            "security": _for(KeyScope.NOTIFY),
            "summary": "Cancel a notification",
            "tags": ["notifications"],
            "requestBody": _body("CancelRequest", required=False),
            "responses": {
                "200": _answer("Cancelled: nothing will be sent after this.", "Notification"),
                "202": _answer("In flight: it is not tried again.", "CancelRequested"),
                **_problems(*WRITING, 409),
            },
        },
    },
    "/notifications/{id}/retry": {
        "parameters": [BY_ID],
        "post": {
            "operationId": "retryNotification",
            "security": _for(KeyScope.NOTIFY),
            "summary": "Try a notification again that has come to an end",
            "description": "An unknown one may have arrived: it needs accept_duplicate_risk.",
            "tags": ["notifications"],
            "requestBody": _body("RetryRequest", required=False),
            "responses": {
                "202": _answer("Queued again.", "Notification", Location=URI),
                **_problems(*WRITING, 409),
            },
        },
    },
    "/batches/{id}": {
        "parameters": [BY_ID],
        "get": {
            "operationId": "getBatch",
            "security": _for(KeyScope.READ),
            "summary": "Count the notifications of a batch by status",
            "tags": ["batches"],
            "responses": {"200": _answer("The batch.", "Batch"), **_problems(*READING)},
        },
    },
    "/batches/{id}/cancel": {
        "parameters": [BY_ID],
        "post": {
            "operationId": "cancelBatch",
            "security": _for(KeyScope.NOTIFY),
            "summary": "Cancel what of a batch has not been sent",
            "tags": ["batches"],
            "requestBody": _body("CancelRequest", required=False),
            "responses": {
                "200": _answer("The batch, and how many were cancelled.", "CancelledBatch"),
                **_problems(*WRITING),
            },
        },
    },
    "/endpoints": {
        "get": {
            "operationId": "listEndpoints",
            "security": _for(KeyScope.READ),
            "summary": "List the endpoints for webhooks",
            "tags": ["endpoints"],
            "responses": {
                "200": _answer("All of them.", "EndpointList"),
                **_problems(400, 401, 403, 405, 429, 503),
            },
        },
        "post": {
            "operationId": "createEndpoint",
            "security": _for(KeyScope.MANAGE),
            "summary": "Register an endpoint",
            "description": "The answer shows its secret, which is never shown again.",
            "tags": ["endpoints"],
            "requestBody": _body("EndpointRequest"),
            "responses": {
                "201": _answer("Registered.", "EndpointWithSecret", Location=URI),
                **_problems(400, 401, 403, 405, 409, 413, 415, 429, 503),
            },
        },
    },
    "/endpoints/{id}": {
        "parameters": [BY_ID],
        "get": {
            "operationId": "getEndpoint",
            "security": _for(KeyScope.READ),
            "summary": "Show an endpoint",
            "tags": ["endpoints"],
            "responses": {"200": _answer("The endpoint.", "Endpoint"), **_problems(*READING)},
        },
        "patch": {
            "operationId": "changeEndpoint",
            "security": _for(KeyScope.MANAGE),
            "summary": "Change what is given of an endpoint",
            "tags": ["endpoints"],
            "requestBody": _body("EndpointChange"),
            "responses": {
                "200": _answer("The endpoint as it is now.", "Endpoint"),
                **_problems(*WRITING, 409),
            },
        },
        "delete": {
            "operationId": "deleteEndpoint",
            "security": _for(KeyScope.MANAGE),
            "summary": "Forget an endpoint and its secrets",
            "tags": ["endpoints"],
            "responses": {"204": {"description": "Forgotten."}, **_problems(*READING)},
        },
    },
    "/endpoints/{id}/rotate": {
        "parameters": [BY_ID_OR_DEFAULT],
        "post": {
            "operationId": "rotateEndpoint",
            "security": _for(KeyScope.MANAGE),
            "summary": "Give an endpoint a new secret",
            "description": "The one before goes on signing for 24 hours. With `default` as the id, "
            "the secret of all URLs that are not registered.",
            "tags": ["endpoints"],
            "requestBody": _body("NoFields", required=False),
            "responses": {
                "200": _answer("With the new secret, once.", "EndpointWithSecret"),
                **_problems(*WRITING),
            },
        },
    },
    "/endpoints/{id}/enable": {
        "parameters": [BY_ID],
        "post": {
            "operationId": "enableEndpoint",
            "security": _for(KeyScope.MANAGE),
            "summary": "Send to a disabled endpoint again",
            "tags": ["endpoints"],
            "requestBody": _body("NoFields", required=False),
            "responses": {
                "200": _answer("The endpoint as it is now.", "Endpoint"),
                **_problems(*WRITING),
            },
        },
    },
    "/templates": {
        "get": {
            "operationId": "listTemplates",
            "security": _for(KeyScope.READ),
            "summary": "List templates, newest first",
            "tags": ["templates"],
            "parameters": PAGING,
            "responses": {
                "200": _answer("A page.", "TemplatePage"),
                **_problems(400, 401, 403, 405, 429, 503),
            },
        }
    },
    "/templates/{name}": {
        "parameters": [BY_NAME],
        "get": {
            "operationId": "getTemplate",
            "security": _for(KeyScope.READ),
            "summary": "Show a template with what it says",
            "tags": ["templates"],
            "responses": {
                "200": _answer("The template.", "TemplateDetail"),
                **_problems(*READING),
            },
        },
        "put": {
            "operationId": "putTemplate",
            "security": _for(KeyScope.MANAGE),
            "summary": "Make a template, or a new version of it",
            "description": "What it says already makes no new version.",
            "tags": ["templates"],
            "requestBody": _body("TemplateRequest"),
            "responses": {
                "200": _answer("It says this now.", "TemplateDetail"),
                "201": _answer("There was none of this name.", "TemplateDetail", Location=URI),
                **_problems(400, 401, 403, 405, 413, 415, 429, 503),
            },
        },
        "delete": {
            "operationId": "archiveTemplate",
            "security": _for(KeyScope.MANAGE),
            "summary": "Take a template out of use",
            "tags": ["templates"],
            "responses": {
                "204": {"description": "It cannot be used any longer."},
                **_problems(*WRITING),
            },
        },
    },
    "/templates/{name}/preview": {
        "parameters": [BY_NAME],
        "post": {
            "operationId": "previewTemplate",
            "security": _for(KeyScope.READ),
            "summary": "Show what a template makes of a context",
            "description": "Nothing is sent or stored.",
            "tags": ["templates"],
            "requestBody": _body("PreviewRequest", required=False),
            "responses": {
                "200": _answer("What would be sent.", "Preview"),
                **_problems(*WRITING),
            },
        },
    },
    "/preferences": {
        "get": {
            "operationId": "listPreferences",
            "security": _for(KeyScope.READ),
            "summary": "List what recipients want, newest first",
            "tags": ["preferences"],
            "parameters": [
                _parameter("channel", one_of(CHANNELS)),
                _parameter("recipient", text(), "The whole address, in any capitals."),
                *PAGING,
            ],
            "responses": {
                "200": _answer("A page.", "PreferencePage"),
                **_problems(400, 401, 403, 405, 429, 503),
            },
        },
        "put": {
            "operationId": "putPreference",
            "security": _for(KeyScope.MANAGE),
            "summary": "Keep what a recipient wants, in place of what was kept before",
            "tags": ["preferences"],
            "requestBody": _body("PreferenceRequest"),
            "responses": {
                "200": _answer("Kept in its place.", "Preference"),
                "201": _answer("Kept: there was nothing before.", "Preference"),
                **_problems(400, 401, 403, 405, 413, 415, 429, 503),
            },
        },
    },
    "/preferences/{id}": {
        "parameters": [BY_ID],
        "delete": {
            "operationId": "deletePreference",
            "security": _for(KeyScope.MANAGE),
            "summary": "Forget what a recipient wants",
            "tags": ["preferences"],
            "responses": {"204": {"description": "Forgotten."}, **_problems(*READING)},
        },
    },
    "/suppressions": {
        "get": {
            "operationId": "listSuppressions",
            "security": _for(KeyScope.READ),
            "summary": "List the recipients that nothing is sent to, newest first",
            "tags": ["suppressions"],
            "parameters": [
                _parameter("channel", one_of(CHANNELS)),
                _parameter("recipient", text(), "The whole address, in any capitals."),
                _parameter("reason", one_of(REASONS)),
                *PAGING,
            ],
            "responses": {
                "200": _answer("A page.", "SuppressionPage"),
                **_problems(400, 401, 403, 405, 429, 503),
            },
        },
        "post": {
            "operationId": "suppress",
            "security": _for(KeyScope.MANAGE),
            "summary": "Send nothing to a recipient from now on",
            "tags": ["suppressions"],
            "requestBody": _body("SuppressionRequest"),
            "responses": {
                "201": _answer("Suppressed.", "Suppression"),
                "200": _answer("It was on the list: the stronger of the two.", "Suppression"),
                **_problems(400, 401, 403, 405, 413, 415, 429, 503),
            },
        },
    },
    "/suppressions/{id}": {
        "parameters": [BY_ID],
        "delete": {
            "operationId": "unsuppress",
            "security": _for(KeyScope.MANAGE),
            "summary": "Send to a recipient again",
            "tags": ["suppressions"],
            "responses": {
                "204": {"description": "It is no longer on the list."},
                **_problems(*READING),
            },
        },
    },
    "/receipts/{provider}": {
        "parameters": [{"name": "provider", "in": "path", "required": True, "schema": text()}],
        "post": {
            "operationId": "reportReceipts",
            "summary": "What providers call to report deliveries",
            "description": "Signed by the provider in its own way; what is signed is a 200.",
            "tags": ["operations"],
            "security": [],
            "requestBody": {"required": True, "content": {"*/*": {}}},
            "responses": {
                "200": _answer("Authentic, and taken down.", "ReceiptsAnswer"),
                "403": _problem("It is not signed by the provider."),
                **_problems(400, 404, 405, 413),
                "503": _problem(
                    "The database is away, or what it takes to judge the signature.",
                    Retry_After={"type": "integer"},
                ),
            },
        },
    },
    "/healthz": {
        "get": {
            "operationId": "health",
            "summary": "Is this process alive",
            "tags": ["operations"],
            "security": [],
            "responses": {"200": _answer("It is.", "Health"), **_problems(405)},
        }
    },
    "/readyz": {
        "get": {
            "operationId": "readiness",
            "summary": "Will what is accepted here be sent",
            "tags": ["operations"],
            "security": [],
            "responses": {
                "200": _answer("Database, broker and a worker are there.", "Readiness"),
                "503": _answer("Something is missing.", "Readiness"),
                **_problems(405),
            },
        }
    },
}

RESPONSES: dict[str, Schema] = {
    "400": _problem("Something is wrong with the request; `errors` lists all of it."),
    "401": _problem("No valid API key was shown.", WWW_Authenticate={"const": "Bearer"}),
    "403": _problem("The tenant is disabled, or the key has not the scope that this needs."),
    "404": _problem("There is no such thing."),
    "405": _problem("Not possible here.", Allow=text()),
    "409": _problem(
        "Its status does not allow it; or the key is being stored: try again.",
        Retry_After={"type": "integer", "examples": [BUSY_RETRY_SECONDS]},
    ),
    "413": _problem("The body is too large."),
    "415": _problem("The body is not JSON in UTF-8."),
    "422": _problem("The idempotency key was used with other content."),
    "429": _problem(
        "The tenant makes too many requests.",
        Retry_After={"type": "integer", "minimum": 1},
        RateLimit=text(examples=['"100/s";r=0;t=1']),
        RateLimit_Policy=text(examples=['"100/s";q=100;w=1']),
    ),
    "500": _problem("Something went wrong on our side."),
    "503": _problem(
        "The database is away.",
        Retry_After={"type": "integer", "examples": [DATABASE_RETRY_SECONDS]},
    ),
}

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {
        "title": "Notifications",
        "version": VERSION,
        "description": "Accept once, deliver once, say honestly what happened, lose nothing.",
    },
    "security": [{"bearer": []}],
    "paths": PATHS,
    "components": {
        "schemas": SCHEMAS,
        "responses": RESPONSES,
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key; each operation names the scope that it must have.",
            }
        },
    },
}
