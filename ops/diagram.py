"""Draws the table of moves: `python -m ops.diagram` writes `docs/images/states.svg`."""

from pathlib import Path

from notifications.enums import State
from notifications.lifecycle import IN_FLIGHT, MOVES, TERMINAL, WAITING, Move

TARGET = Path(__file__).parent.parent / "docs" / "images" / "states.svg"

LEFT, TOP, COLUMN, ROW = 96, 132, 62, 32
WIDTH = LEFT + COLUMN * len(State)
HEIGHT = TOP + ROW * len(MOVES) + 44

STYLE = """
    text { fill: #0f172a; font-size: 13px; }
    .note { fill: #475569; font-size: 12px; }
    .move { font-weight: 600; text-anchor: end; }
    .grid { stroke: #e2e8f0; }
    .way { stroke: #475569; stroke-width: 2; }
    .from { fill: #ffffff; stroke: #475569; stroke-width: 2; }
    .to { fill: #1d4ed8; }
    .waiting { fill: #fef9c3; }
    .held { fill: #dcfce7; }
    .open { fill: #dbeafe; }
    .end { fill: #e2e8f0; }
"""


def draw() -> str:
    """The picture: a column for each state, a row for each move with its starts and ends."""
    rows = [part for row, move in enumerate(MOVES) for part in _row(row, move)]
    columns = [part for column, state in enumerate(State) for part in _column(column, state)]
    lines = "\n".join(f"  {part}" for part in [*columns, *rows, *_legend()])
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"
     aria-labelledby="title text"
     font-family="system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif">
  <title id="title">Which state may follow which</title>
  <desc id="text">{" ".join(_said(move) for move in MOVES)}</desc>
  <style>{STYLE}  </style>
  <rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="10"
        fill="#ffffff" stroke="#cbd5e1"/>
{lines}
</svg>
"""


def _column(column: int, state: State) -> list[str]:
    x, bottom = _x(column), TOP + ROW * len(MOVES)
    place = f"rotate(-45 {x - 4} {TOP - 18})"
    return [
        f'<rect class="{_kind(state)}" x="{x - 15}" y="{TOP - 12}" width="30" height="8" rx="4"/>',
        f'<line class="grid" x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}"/>',
        f'<text x="{x - 4}" y="{TOP - 18}" transform="{place}">{state.value}</text>',
    ]


def _kind(state: State) -> str:
    kinds = {"waiting": WAITING | {State.IN_DIGEST}, "held": IN_FLIGHT, "end": TERMINAL}
    return next((name for name, states in kinds.items() if state in states), "open")


def _row(row: int, move: Move) -> list[str]:
    starts, ends = MOVES[move]
    y = TOP + ROW * row + ROW // 2
    at = {state: _x(column) for column, state in enumerate(State) if state in starts | ends}
    left, right = min(at.values()), max(at.values())
    return [
        f'<text class="move" x="{LEFT - 16}" y="{y + 4}">{move.value}</text>',
        f'<line class="way" x1="{left}" y1="{y}" x2="{right}" y2="{y}"/>',
        *(_mark("from", 9, move, s, at[s], y) for s in State if s in starts),
        *(_mark("to", 5, move, s, at[s], y) for s in State if s in ends),
    ]


def _mark(kind: str, radius: int, move: Move, state: State, x: int, y: int) -> str:
    data = f'data-move="{move.value}" data-state="{state.value}"'
    return f'<circle class="{kind}" {data} cx="{x}" cy="{y}" r="{radius}"/>'


def _legend() -> list[str]:
    y = HEIGHT - 20
    texts = {
        36: "may start there",
        176: "may end there",
        316: "waits",
        406: "held by a worker",
        556: "nobody knows",
        690: "ended",
    }
    kinds = {280: "waiting", 370: "held", 520: "open", 654: "end"}
    return [
        f'<circle class="from" cx="20" cy="{y}" r="9"/>',
        f'<circle class="to" cx="160" cy="{y}" r="5"/>',
        *(
            f'<rect class="{k}" x="{x}" y="{y - 4}" width="30" height="8"/>'
            for x, k in kinds.items()
        ),
        *(f'<text class="note" x="{x}" y="{y + 4}">{text}</text>' for x, text in texts.items()),
    ]


def _said(move: Move) -> str:
    starts, ends = (", ".join(s.value for s in State if s in side) for side in MOVES[move])
    return f"{move.value}: from {starts} to {ends}."


def _x(column: int) -> int:
    return LEFT + COLUMN * column + COLUMN // 4


if __name__ == "__main__":
    TARGET.write_text(draw())
