"""A page of HTML that needs nothing but itself: tiles, tables, pictures, in light and dark, on a desk and on a
phone.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

_TYPES = {".png": "image/png", ".gif": "image/gif"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1d22; --soft: #63636e; --line: #dcdce3; --page: #fafafb; --card: #fff;
        --mark: #c2410c; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececf1; --soft: #a2a2ae; --line: #36363f; --page: #17171b; --card: #212127; --mark: #fb923c; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.1rem 4rem; max-width: 68rem; background: var(--page); color: var(--ink);
       font: 16px/1.6 system-ui, sans-serif; }
h1 { font-size: 1.65rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 3rem 0 .5rem; }
p { margin: .5rem 0; max-width: 48rem; }
figure { margin: 1.1rem 0 1.6rem; }
figcaption, .caption { color: var(--soft); font-size: .93rem; max-width: 48rem; }
figcaption { margin-top: .5rem; }
.caption { margin: 1.3rem 0 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .7rem; margin: 1.3rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.6rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--soft); font-size: .85rem; line-height: 1.35; }
.picture { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: .6rem; padding: .6rem; }
.picture img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
.table { overflow-x: auto; margin: .6rem 0 1.4rem; }
table { border-collapse: collapse; background: var(--card); font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .36rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { color: var(--soft); font-weight: 500; vertical-align: bottom; white-space: normal; }
td small { color: var(--soft); }
td b { color: var(--mark); }
tr.aside td { color: var(--soft); }
tr.main td:first-child { color: var(--mark); font-weight: 600; }
.dense table { font-size: .8rem; }
.dense td:first-child { white-space: normal; min-width: 7rem; }
.dense th, .dense td { padding: .34rem .42rem; }
td.shade { text-align: center; background: color-mix(in srgb, #16a34a calc(var(--share) * 1%), transparent); }
pre
{ overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem;
      font-size: .85rem; line-height: 1.5; }
summary { cursor: pointer; margin: .6rem 0; }
.picture img.narrow { max-width: min(100%, 40rem); }
@media (max-width: 44rem) { .picture img:not(.narrow) { max-width: none; width: 46rem; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole document."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{"".join(parts)}
</body>
</html>
"""


def text(value: object) -> str:
    """Any value as text that HTML takes literally."""
    return html.escape(str(value))


def section(title: str, *parts: str) -> str:
    """A heading and what stands below it; nothing if nothing does."""
    return f"<h2>{text(title)}</h2>\n" + "".join(parts) if any(parts) else ""


def paragraph(content: str) -> str:
    return f"<p>{content}</p>\n"


def tiles(items: Iterable[tuple[str, str]]) -> str:
    """Large numbers, each with what it is."""
    cards = "".join(f'<div class="tile"><b>{value}</b><span>{meaning}</span></div>\n' for value, meaning in items)
    return f'<div class="tiles">\n{cards}</div>\n'


def figure(path: Path, caption: str, *, narrow: bool = False) -> str:
    """A picture inside the page; nothing if the file is not there. On a phone a broad one is scrolled sideways."""
    if not path.is_file():
        return ""
    source = f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    image = f'<img class="{"narrow" if narrow else ""}" alt="{text(path.stem.replace("_", " "))}" src="{source}">'
    return f'<figure><div class="picture">{image}</div><figcaption>{caption}</figcaption></figure>\n'


def table(
    header: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], caption: str, *, dense: bool = False
) -> str:
    """A table of cells that are HTML already. A row is its class and its cells; a cell may bring its own <td>."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "".join(
        f'<tr class="{kind}">{"".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in cells)}</tr>\n'
        for kind, cells in rows
    )
    return f"""<p class="caption">{caption}</p>
<div class="table{" dense" if dense else ""}"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{body}</tbody></table></div>
"""


def shaded(value: float) -> str:
    """A cell that is the greener the nearer its number comes to 1."""
    return f'<td class="shade" style="--share:{55 * min(max(value, 0.0), 1.0):.0f}">{number(value)}</td>'


def number(value: float, digits: int = 2) -> str:
    """A number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "&minus;")


def folded(title: str, content: str) -> str:
    """Plain text behind a line to click on."""
    return f"<details><summary>{text(title)}</summary><pre>{text(content)}</pre></details>\n"
