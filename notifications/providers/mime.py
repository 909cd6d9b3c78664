"""E-mails in Django's form: built of what a notification says, or read where one is complete."""

import email.policy
import re
from collections.abc import Collection, Mapping
from email.encoders import encode_base64
from email.message import Message as Part
from email.message import MIMEPart
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from typing import Any
from urllib.parse import unquote

import django
from django.core.mail import EmailMessage, EmailMultiAlternatives

from ..email_content import address_of
from ..messages import Attachment, Message

EXTRAS = frozenset({"from", "reply_to", "cc", "bcc", "headers", "attachments"})
"""What an e-mail may have beside its subject and its texts."""

TEXTS = frozenset({"text/plain", "text/html"})


CID = re.compile(r"(?i:cid):([A-Za-z0-9._-]+(?:@[A-Za-z0-9._-]+)?)")


def text_email(content: Mapping[str, Any]) -> EmailMessage:
    """An e-mail that has its subject and its texts, and nothing else yet."""
    subject, body, html = (content.get(part) or "" for part in ("subject", "body", "html"))
    if html and not body:
        email = EmailMessage(subject, html)
        email.content_subtype = "html"
        return email
    both = EmailMultiAlternatives(subject, body)
    if html:
        both.attach_alternative(html, "text/html")
    return both


def full_email(message: Message, default_from: str) -> EmailMessage:
    """An e-mail with all that it has; raises ValueError where bytes of it are missing.

    Who is left out of the envelope is not named in it either.
    """
    content = message.content
    left = set(message.envelope)
    shown = _shown(content)
    built = IllustratedEmail(content, shown) if shown else text_email(content)
    built.from_email = content.get("from", default_from)
    built.to = [to for to in (message.to,) if to in left]
    built.cc = [to for to in content.get("cc", ()) if to in left]
    built.bcc = [to for to in content.get("bcc", ()) if to in left]
    built.reply_to = list(content.get("reply_to", ()))
    built.extra_headers = own_headers(message.key, address_of(built.from_email))
    built.extra_headers |= content.get("headers", {})
    if len(message.attachments) != len(content.get("attachments", ())):
        raise ValueError
    built.attachments += [_part(file) for file in message.attachments]
    return built


def own_headers(key: str, sender: str) -> dict[str, str]:
    """What we set in every e-mail that we build; the same on every attempt."""
    message_id = f"<{key}@{sender.rpartition('@')[2]}>"
    return {"Message-ID": message_id, "X-Notification-ID": key}


class IllustratedEmail(EmailMultiAlternatives):
    """An e-mail whose HTML shows files of it: those go together with the text (RFC 2387).

    It is `related(text, images)`, and with other files beside them `mixed(related(…), files)`; all
    of it but that is Django's own.
    """

    def __init__(self, content: Mapping[str, Any], shown: Collection[str]) -> None:
        text = text_email(content)
        super().__init__(text.subject, text.body)
        self.content_subtype = text.content_subtype
        self.alternatives = getattr(text, "alternatives", [])
        self.shown = frozenset(f"<{content_id}>" for content_id in shown)

    def message(self, **options: Any) -> Any:
        whole: Any = super().message(**options)
        body, *files = whole.get_payload()
        together = [body, *(file for file in files if file["Content-ID"] in self.shown)]
        apart = [file for file in files if file["Content-ID"] not in self.shown]
        kind = f'multipart/related; type="{body.get_content_type()}"'
        if apart:
            whole.set_payload([_container(kind, together), *apart])
        else:
            whole.replace_header("Content-Type", kind)
            whole.set_payload(together)
        return whole


class CompleteEmail(EmailMultiAlternatives):
    """An e-mail that was complete when it was accepted, for the e-mail backends of others.

    Those that send a message send it as it is; those that read its fields find them.
    """

    def __init__(self, message: Message) -> None:
        content, left = message.content, set(message.envelope)
        self._parsed = email.message_from_bytes(message.mime, policy=email.policy.SMTP)
        super().__init__(str(self._parsed["Subject"] or ""), from_email=self._parsed["From"])
        self.to = [to for to in content.get("to", (message.to,)) if to in left]
        self.cc = [to for to in content.get("cc", ()) if to in left]
        self.bcc = [to for to in content.get("bcc", ()) if to in left]
        self.reply_to = [str(self._parsed["Reply-To"])] if "Reply-To" in self._parsed else []
        self._take(self._parsed)

    def message(self, **_: Any) -> Any:
        """As it was written."""
        return self._parsed

    def _take(self, part: MIMEPart, above: str = "") -> None:
        """Its first text is its body, its first HTML an alternative, and the rest is attached."""
        if part.get_content_maintype() == "multipart":
            for below in part.iter_parts():
                self._take(below, part.get_content_subtype())
            return
        kind = "" if part.is_attachment() else part.get_content_type()
        if kind in TEXTS and not self.body and (kind == "text/plain" or not above):
            self.body, self.content_subtype = part.get_content(), part.get_content_subtype()
        elif above == "alternative" or (kind == "text/html" and not self.alternatives):
            self.attach_alternative(part.get_content(), part.get_content_type())
        else:
            self.attachments.append(_copied(part))


def _shown(content: Mapping[str, Any]) -> frozenset[str]:
    """The content ids of those files that the HTML refers to, as in `src="cid:logo"`."""
    named = {file.get("content_id") for file in content.get("attachments", ())} - {None}
    return frozenset(named & set(CID.findall(unquote(content.get("html") or ""))) if named else ())


def _container(kind: str, parts: list[Any]) -> Any:
    """Parts as one, in the form that this Django takes."""
    if django.VERSION >= (6, 0):
        modern = MIMEPart(policy=email.policy.SMTP)
        modern["Content-Type"] = kind
        modern.set_payload(parts)
        return modern
    container = MIMEMultipart("related", _subparts=parts)
    container.replace_header("Content-Type", kind)
    return container


def _part(file: Attachment) -> Any:
    """A file as a part of an e-mail, in the form that this Django takes: byte for byte."""
    maintype, _, subtype = file.content_type.partition("/")
    disposition = "inline" if file.content_id else "attachment"
    content_id = f"<{file.content_id}>" if file.content_id else None
    if django.VERSION >= (6, 0):
        modern = MIMEPart(policy=email.policy.SMTP)
        modern.set_content(
            file.data, maintype, subtype, "base64", disposition, file.filename, content_id
        )
        return modern
    part = MIMEBase(maintype, subtype)
    part.set_payload(file.data)
    encode_base64(part)
    name = file.filename
    encoded = name if name.isascii() else ("utf-8", "", name)
    part.add_header("Content-Disposition", disposition, filename=encoded)
    if content_id:
        part["Content-ID"] = content_id
    return part


def _copied(part: Part) -> Any:
    """A part in the form that this Django takes."""
    if django.VERSION >= (6, 0):
        return part
    copy = MIMEBase(part.get_content_maintype(), part.get_content_subtype())
    del copy["Content-Type"], copy["MIME-Version"]
    for name, value in part.items():
        copy[name] = str(value)
    copy.set_payload(part.get_payload())
    return copy
