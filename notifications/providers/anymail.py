"""E-mail through any provider that django-anymail knows, by its HTTP API."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from ..messages import Message, Outcome, ReceiptRequest, ReportedReceipt
from .django_email import DjangoEmailProvider, Session
from .smtp import Letter

try:
    from anymail.backends.base import BasePayload
    from anymail.backends.base_requests import AnymailRequestsBackend
    from anymail.exceptions import AnymailError
    from requests.adapters import HTTPAdapter
except ImportError as error:
    raise ImportError(
        'django-anymail is not installed: pip install "django-notifications-engine[anymail]"'
    ) from error

from ..exceptions import NotReceipts
from .anymail_outcomes import failed, sent
from .anymail_receipts import TAG, AnymailReceipts
from .http import timeouts, url_option


def _esp(value: Any) -> str:
    try:
        backend = import_module(f"anymail.backends.{value}").EmailBackend
    except (ImportError, AttributeError) as error:
        raise ValueError("write Anymail's name of it, such as mailgun or postmark") from error
    if not issubclass(backend, AnymailRequestsBackend):
        raise ValueError("Anymail does not send with it over HTTP; for Amazon SES take SESProvider")
    return str(value)


def _settings(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and name.islower() for name in value
    ):
        raise ValueError('write Anymail\'s settings in lower case, such as {"api_key": "…"}')
    if "api_url" in value:
        url_option(value["api_url"])
    return dict(value)


class AnymailProvider(DjangoEmailProvider):
    """Sends by an API that Anymail speaks, and asks once: few of them have keys for a second try.

    Options: `ESP`, Anymail's name of it, such as `mailgun`; `FROM`, by default Django's
    DEFAULT_FROM_EMAIL; `SETTINGS`, Anymail's settings for it without its name and in lower case;
    `RECEIPTS`, those for its webhooks, without which no receipts are read. What is in neither is
    looked for in Django's setting ANYMAIL.

    Our id goes along as the header `X-Notification-ID`, and as the metadata `notification-id`;
    where a provider's API has no metadata, as a tag.
    """

    concurrency = 10
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "ESP": _esp,
        "FROM": DjangoEmailProvider.known_options["FROM"],
        "SETTINGS": _settings,
        "RECEIPTS": _settings,
    }

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self.reports_delivery = "RECEIPTS" in self.options

    @classmethod
    def problems(cls, options: Mapping[str, Any]) -> list[str]:
        # Past those of Django's own backends, one of which may well be set for other e-mails.
        found = super(DjangoEmailProvider, cls).problems(
            {"FROM": settings.DEFAULT_FROM_EMAIL, **options}
        )
        if not found and "ESP" not in options:
            found.append('"ESP" is missing: write Anymail\'s name of it, such as "mailgun".')
        return found or _unusable(options)

    def read_receipts(self, request: ReceiptRequest) -> list[ReportedReceipt]:
        if not self.reports_delivery:
            raise NotReceipts("RECEIPTS is not set")
        return AnymailReceipts(self.options["ESP"], self.options["RECEIPTS"]).read(request)

    def _letter(self, message: Message) -> Letter:
        letter = super()._letter(message)
        return replace(letter, email=lambda: self._tagged(letter.email(), message.key))

    def _tagged(self, email: Any, key: str) -> EmailMessage:
        """With our id; its Message-ID is the provider's own, by which events name it."""
        email.extra_headers.pop("Message-ID", None)
        email.extra_headers["X-Notification-ID"] = key
        if _has_metadata(self.options["ESP"]):
            email.metadata = {TAG: key}
        else:
            email.tags = [key]
        tagged: EmailMessage = email
        return tagged

    def _session(self) -> Session:
        return AnymailSession(_backend(self.options), self.timeout)


class AnymailSession:
    """A backend of Anymail's with its connections; used by one thread at a time."""

    def __init__(self, backend: AnymailRequestsBackend, timeout: float) -> None:
        self.backend = backend
        self.backend.timeout = timeouts(timeout)

    def send(self, letter: Letter) -> Outcome:
        email: Any = letter.email()  # Anymail writes its answer into it
        self._open()
        try:
            count = self.backend.send_messages([email])
        except AnymailError as error:
            return failed(error)
        return sent(email.anymail_status, count)

    def close(self) -> None:
        self.backend.close()

    def _open(self) -> None:
        """Left to itself it would open a connection for each message, and follow redirects."""
        if self.backend.open():
            session = self.backend.session
            session.max_redirects = 0
            session.mount("https://", HTTPAdapter(max_retries=0))
            session.mount("http://", HTTPAdapter(max_retries=0))


def _backend(options: Mapping[str, Any]) -> AnymailRequestsBackend:
    module = import_module(f"anymail.backends.{options['ESP']}")
    return module.EmailBackend(**options.get("SETTINGS", {}))


def _has_metadata(esp: str) -> bool:
    """Whether the API carries any: otherwise Anymail refuses a message that has some."""
    known = vars(import_module(f"anymail.backends.{esp}")).values()
    return any("set_metadata" in vars(each) for each in known if _is_payload(each))


def _is_payload(value: Any) -> bool:
    is_one = isinstance(value, type) and issubclass(value, BasePayload)
    return is_one and value is not BasePayload


def _unusable(options: Mapping[str, Any]) -> list[str]:
    """What Anymail itself says of its settings; it names them, and shows none."""
    try:
        _backend(options)
        if "RECEIPTS" in options:
            AnymailReceipts(options["ESP"], options["RECEIPTS"])
    except (ImproperlyConfigured, NotReceipts) as error:
        return [str(error)]
    return []
