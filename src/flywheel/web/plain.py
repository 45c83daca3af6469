"""Pages that work without scripts and before anybody is signed in: the sign-in, and why somebody may not enter."""

from __future__ import annotations

import html
from collections.abc import Sequence
from urllib.parse import quote

__all__ = ["plain", "sign_in_page"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; display: grid; place-items: center; min-height: 100vh;
  background: #fafafa; color: #1c1f24; }
main { width: min(22rem, 90vw); overflow-wrap: anywhere; }
h1 { font-size: 1.25rem; margin: 0 0 .75rem; }
label { display: block; margin-bottom: .3rem; }
input, button, .way { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem .65rem; border-radius: 6px;
  border: 1px solid #8a919b; background: inherit; color: inherit; display: block; text-align: center; }
input { text-align: left; }
button { margin-top: .75rem; background: #0060a0; color: #fff; border: 0; }
.way { text-decoration: none; margin-bottom: .75rem; }
.or { display: flex; align-items: center; gap: .75rem; margin: 1rem 0; color: #5c636d; }
.or::before, .or::after { content: ""; flex: 1; border-top: 1px solid #d5d8dd; }
p { margin: .5rem 0; }
[role=alert] { color: #b03a00; }
a { color: #0060a0; }
a.way { color: inherit; }
@media (prefers-color-scheme: dark) {
  body { background: #121417; color: #e6e8eb; }
  a { color: #6cb8ee; }
  a.way { color: inherit; }
  .or { color: #a4abb5; }
  .or::before, .or::after { border-color: #363b42; }
  [role=alert] { color: #f0a070; }
}
"""


def plain(title: str, words: str, *, problem: str = "", inner: str = "") -> str:
    """A whole page. `words` and `problem` are text and are escaped; `inner` is markup of this module's own."""
    alert = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    said = f"<p>{html.escape(words)}</p>" if words else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)} · Flywheel</title><style>{_STYLE}</style></head><body><main>"
        f"<h1>{html.escape(title)}</h1>{said}{alert}{inner}</main></body></html>"
    )


def sign_in_page(onward: str, *, problem: str = "", providers: Sequence[tuple[str, str]] = ()) -> str:
    """The sign-in: a field for a key and, above it, a way for each identity provider, `(name, path)`."""
    ways = "".join(
        f'<a class="way" href="{html.escape(path)}">Sign in with {html.escape(name)}</a>' for name, path in providers
    )
    form = (
        f'<form method="post" action="?next={quote(onward, safe="")}"><label for="key">Your key</label>'
        '<input id="key" name="key" type="password" autocomplete="current-password" required'
        f"{'' if ways else ' autofocus'}>"
        "<button>Sign in</button></form><p>A key begins with fw_ and comes from whoever runs this flywheel.</p>"
    )
    return plain("Sign in", "", problem=problem, inner=f'{ways}<div class="or">or</div>{form}' if ways else form)
