"""A real SMTP server in a thread; what a recipient's name says is what it does to the sender."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

REPLY_TEXT = "no such user <{address}> here"
"""Servers do repeat the recipient in their replies."""


@dataclass
class Arrived:
    sender: str
    recipients: list[str]
    data: bytes
    mail_options: list[str]


@dataclass
class Script:
    """The handler: it keeps what arrives and counts connections.

    Recipients: `rcpt-550@`, `mail`... a word, a dash and a reply code: at RCPT (`rcpt`) or after
    the final dot (`dot`). `drop-rcpt`, `drop-data`, `drop-content`, `drop-dot`: it hangs up there.
    `hang-rcpt`, `hang-dot`: it says nothing more. `leave`: it takes the message, then hangs up.
    One that `is_keen` asks for the text even when it has refused the recipient, as it may.
    """

    arrived: list[Arrived] = field(default_factory=list)
    connections: int = 0
    hang_seconds: float = 3.0
    on_hang: Callable[[], object] = lambda: None
    noops: int = 0
    pipelining: bool = False
    is_keen: bool = False

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, host: str, lines: list[str]
    ) -> list[str]:
        session.host_name = host
        self.connections += 1
        return [*lines[:-1], "250-PIPELINING", lines[-1]] if self.pipelining else lines

    async def handle_NOOP(
        self, server: SMTP, session: Session, envelope: Envelope, arg: str
    ) -> str:
        self.noops += 1
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        word, code = _word(address)
        if word == "rcpt":
            return f"{code} {REPLY_TEXT.format(address=address)}"
        await self._fail(server, address, "rcpt")
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        address = envelope.rcpt_tos[0]
        word, code = _word(address)
        if word == "dot":
            return f"{code} {REPLY_TEXT.format(address=address)}"
        if address.startswith("drop-dot"):
            self._keep(envelope)
        await self._fail(server, address, "dot")
        self._keep(envelope)
        if word == "leave":
            asyncio.get_running_loop().call_later(0.02, server.transport.abort)
        return "250 OK"

    def _keep(self, envelope: Envelope) -> None:
        self.arrived.append(
            Arrived(
                envelope.mail_from or "",
                list(envelope.rcpt_tos),
                envelope.original_content or b"",
                list(envelope.mail_options),
            )
        )

    async def _fail(self, server: SMTP, address: str, step: str) -> None:
        if address.startswith(f"drop-{step}"):
            server.transport.abort()
            await asyncio.sleep(0.01)
        if address.startswith(f"hang-{step}"):
            self.on_hang()
            await asyncio.sleep(self.hang_seconds)


class ScriptedSMTP(SMTP):
    """The steps for which aiosmtpd calls no handler."""

    async def smtp_DATA(self, arg: str) -> None:
        if not self.envelope.rcpt_tos:
            await self.push("354 go on" if self.event_handler.is_keen else "503 no recipient")
            return
        address = self.envelope.rcpt_tos[0]
        word, code = _word(address)
        if word == "data":
            await self.push(f"{code} not now")
        elif address.startswith("drop-data"):
            self.transport.abort()
        elif address.startswith("drop-content"):
            await self.push("354 go on")
            self.transport.abort()
        else:
            await super().smtp_DATA(arg)


class Server(Controller):
    """Listens on a free port from `start` to `stop`."""

    def __init__(self, script: Script, **options: Any) -> None:
        self.options = {"decode_data": False, "enable_SMTPUTF8": False, **options}
        super().__init__(script, hostname="127.0.0.1", port=free_port())

    def factory(self) -> SMTP:
        return ScriptedSMTP(self.handler, **self.options)


def refuse_everybody(*_: Any) -> AuthResult:
    return AuthResult(success=False, handled=False)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _word(address: str) -> tuple[str, str]:
    word, _, code = address.partition("@")[0].partition("-")
    return word, code
