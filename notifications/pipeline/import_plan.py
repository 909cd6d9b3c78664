"""How a file of notifications is read: which column is which field, and what holds for all rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..conf import Rate, parse_rates
from ..models import Tenant
from ..tabular import Unreadable
from ..validation import KNOWN_FIELDS

LINE, FIELD, REASON = "import_line", "import_field", "import_reason"
ABOUT = (LINE, FIELD, REASON)
"""The columns that a file of rejected rows has besides; imported again, they are passed over."""

DEFAULTS = ("channel", "template", "priority")
"""The fields that can be said for all rows that name none."""

NESTED = ("context", "metadata", "headers")

TABS = {"tab": "\t", "\\t": "\t"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file is read: `columns` maps its columns to fields, nothing for those to leave out.

    `context.NAME` and `metadata.NAME` are fields too. `defaults` are for rows that leave a field
    empty. No more than `rate` are accepted.
    """

    tenant: Tenant
    columns: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    delimiter: str | None = None
    rate: Rate | None = None
    dry_run: bool = False


def parse_mapping(text: str) -> tuple[str, str]:
    """A column and its field; raises ValueError."""
    column, equals, name = text.partition("=")
    if not equals or not column:
        raise ValueError(f"{text!r} has no =; write COLUMN=FIELD")
    return column, name


def parse_rate(text: str) -> Rate:
    """What is to be accepted at most; raises ValueError."""
    try:
        [rate] = parse_rates(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a rate; write 100/s or 5000/h") from error
    return rate


def parse_delimiter(text: str) -> str:
    """What stands between two cells; raises ValueError."""
    found = TABS.get(text, text)
    if len(found) != 1 or found in '"\r\n':
        raise ValueError("one character, such as ; or the word tab")
    return found


def fields_of(header: Sequence[str], plan: Plan) -> list[str]:
    """The field of each column; raises Unreadable with every column that has none."""
    if missing := sorted(set(plan.columns) - set(header)):
        raise Unreadable(f"the file has no column {', '.join(missing)}; it has {', '.join(header)}")
    found = [_field(name, plan) for name in header]
    if "template" in {*found, *plan.defaults}:  # then the others are what it calls by their names
        found = [f"context.{n}" if f is None else f for f, n in zip(found, header, strict=True)]
    unknown = [name for name, f in zip(header, found, strict=True) if f is None]
    if unknown:
        raise Unreadable(
            f"columns that are no fields: {', '.join(unknown)}; say what they are by mapping them, "
            "COLUMN=FIELD, or leave them out, COLUMN="
        )
    filled = [f for f in found if f]
    if twice := sorted({f for f in filled if filled.count(f) > 1}):
        raise Unreadable(f"two columns are the same field: {', '.join(twice)}")
    return [f or "" for f in found]


def _field(column: str, plan: Plan) -> str | None:
    """Its field, empty to be left out; None where nothing says."""
    if column in (*ABOUT, ""):
        return ""
    name = plan.columns.get(column, column)
    if name and not is_field(name):
        if column in plan.columns:
            raise Unreadable(f"{column}={name}: {name} is no field; known are: {known()}")
        return None
    return name


def is_field(name: str) -> bool:
    """Whether a column can be it: a field of a notification, or a part of one."""
    top, dot, rest = name.partition(".")
    return name in KNOWN_FIELDS or (top in NESTED and bool(dot) and bool(rest))


def known() -> str:
    return ", ".join([*sorted(KNOWN_FIELDS), *(f"{name}.NAME" for name in NESTED)])
