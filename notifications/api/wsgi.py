"""What must be put right before Django sees a request: it fails while making its own of it."""

from collections.abc import Callable, Iterable
from typing import Any

from django.utils.http import parse_header_parameters

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

UNREADABLE = "application/octet-stream"


def guard(application: Application) -> Application:
    """`application`, which only gets a Content-Type that Django can read.

    Django 5.2 and 6.1 raise on `text/plain; x*=nonsense''y` before there is a request to answer;
    and a charset makes them parse the query there and then, by that charset, so that one which is
    none for text, or a query of too many parameters, is a 500 of the server.
    """

    def guarded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["CONTENT_TYPE"] = readable(environ.get("CONTENT_TYPE", ""))
        return application(environ, start_response)

    return guarded


def readable(content_type: str) -> str:
    """The type without its charset where that is UTF-8; any other makes it a type nobody takes."""
    if _charset(content_type) == "":
        return content_type
    if _charset(content_type) not in ("utf-8", "utf8"):
        return UNREADABLE
    parts = content_type.split(";")
    bare = ";".join(part for part in parts if not part.strip().lower().startswith("charset"))
    return bare if _charset(bare) == "" else UNREADABLE


def _charset(content_type: str) -> str | None:
    """The declared charset in lower case, empty without one, None when it cannot be read."""
    try:
        _, parameters = parse_header_parameters(content_type)
    except (ValueError, LookupError):
        return None
    return str(parameters["charset"]).lower() if "charset" in parameters else ""
