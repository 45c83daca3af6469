"""The form with which anyone files a report: pages without outside assets, to be shown by themselves or in a frame.

The form is the same text for everybody, but for hidden fields with well-formed ids from the address. Its script sends
the report, with the key that stands behind `#`, which browsers do not send, so that it is in no log. Without JavaScript
the form sends itself, and what comes back are pages without a script; whatever somebody typed stands in them escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from html import escape
from typing import Any

__all__ = ["HIDDEN", "TYPED", "form_headers", "form_page", "refused_page", "snippet", "state_page", "thanks_page"]

TYPED = ("what", "expected", "contact")
"""The fields that somebody fills in."""
HIDDEN = ("interaction", "session", "trace")
"""The fields that the address of the form fills in."""
_WELL_FORMED = re.compile(r"[\w.:@/+=~|#,!*-]{1,200}")
_DATES = {"at": "Sent", "acknowledged_at": "Looked at", "fixed_at": "Fixed", "closed_at": "Closed"}

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1a; --paper: #fff; --quiet: #5c5c57; --line: #8a8a84; --act: #14532d;
  --bad: #a11212; }
@media (prefers-color-scheme: dark) { :root { --ink: #ecece8; --paper: #191918; --quiet: #b3b3ac; --line: #7d7d77;
  --act: #86d9a5; --bad: #ff9d9d; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 1.25rem; font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
main { max-width: 34rem; margin: 0 auto; }
h1 { font-size: 1.25rem; line-height: 1.3; margin: 0 0 .25rem; }
p { margin: 0 0 1rem; }
.quiet { color: var(--quiet); font-size: .9rem; }
label { display: block; font-weight: 600; margin-top: 1rem; }
label span { font-weight: 400; color: var(--quiet); }
textarea, input { width: 100%; margin-top: .25rem; padding: .6rem .7rem; font: inherit; color: inherit;
  background: transparent; border: 1px solid var(--line); border-radius: .35rem; }
textarea { min-height: 6.5rem; resize: vertical; }
.short textarea { min-height: 3.2rem; }
button { margin-top: 1.25rem; padding: .65rem 1.2rem; font: inherit; font-weight: 600; color: var(--paper);
  background: var(--act); border: 0; border-radius: .35rem; cursor: pointer; }
button:disabled { opacity: .55; cursor: default; }
:focus-visible { outline: 3px solid var(--act); outline-offset: 2px; }
[role=alert] { color: var(--bad); font-weight: 600; margin: 1rem 0 0; }
[role=alert]:empty { display: none; }
code { display: block; margin: .25rem 0 1rem; padding: .6rem .7rem; border: 1px solid var(--line);
  border-radius: .35rem; overflow-wrap: anywhere; font-size: .95rem; user-select: all; }
dl { margin: 0 0 1rem; } dt { color: var(--quiet); font-size: .9rem; } dd { margin: 0 0 .5rem; font-weight: 600; }
[hidden] { display: none; }
"""

_SCRIPT = """
'use strict';
const part = id => document.getElementById(id);
const kept = new URLSearchParams(location.hash.slice(1));
const asked = new URLSearchParams(location.search);
const show = id => { for (const one of ['form', 'thanks', 'state']) part(one).hidden = one !== id;
  part(id).querySelector('h1').focus(); };
const fail = text => { part('problem').textContent = text; };
const base = location.pathname.replace(/report-form$/, '');
const given = asked.get('interaction') || '';
const about = given === 'INTERACTION' ? '' : given;

async function send(event) {
  event.preventDefault();
  const what = part('what').value.trim();
  if (!what) { fail('Please say what happened.'); part('what').setAttribute('aria-invalid', 'true');
    part('what').focus(); return; }
  part('what').removeAttribute('aria-invalid');
  fail(''); part('send').disabled = true;
  const body = { what };
  for (const name of ['expected', 'contact']) { const text = part(name).value.trim(); if (text) body[name] = text; }
  if (about) body.interaction_id = about;
  for (const name of ['session', 'trace']) if (asked.get(name)) body[name] = asked.get(name);
  const headers = { 'Content-Type': 'application/json' };
  if (kept.get('key')) headers.Authorization = 'Bearer ' + kept.get('key');
  try {
    const answer = await fetch(base + 'v1/reports', { method: 'POST', headers, body: JSON.stringify(body),
      credentials: 'omit', referrerPolicy: 'no-referrer' });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error ? told.error.message : 'The server did not take it.');
    part('token').textContent = told.token;
    part('link').href = location.pathname + '#token=' + encodeURIComponent(told.token);
    show('thanks');
  } catch (problem) {
    fail('It was not sent: ' + problem.message + ' Your text is still here; try again.');
  } finally { part('send').disabled = false; }
}

async function state(token) {
  show('state');
  try {
    const answer = await fetch(base + 'v1/reports/' + encodeURIComponent(token), { credentials: 'omit' });
    const told = await answer.json();
    if (!answer.ok) throw new Error(told.error ? told.error.message : 'The server did not answer.');
    part('line').textContent = told.line;
    const dates = { at: 'Sent', acknowledged_at: 'Looked at', fixed_at: 'Fixed', closed_at: 'Closed' };
    part('dates').replaceChildren(...Object.keys(dates).filter(name => told[name]).flatMap(name => {
      const term = document.createElement('dt'), day = document.createElement('dd');
      term.textContent = dates[name]; day.textContent = new Date(told[name]).toLocaleString();
      return [term, day];
    }));
  } catch (problem) { part('line').textContent = problem.message; }
}

part('fields').noValidate = true;
part('fields').addEventListener('submit', send);
part('about').hidden = !about;
window.addEventListener('hashchange', () => location.reload());
if (kept.get('token')) state(kept.get('token'));
"""

_HEAD = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>%s</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
"""

_FOR_THE_SCRIPT = f"""<noscript>
<form method="post" action="report-form">
<label for="held">Have you reported already? Your token</label>
<input id="held" name="token" required maxlength="200" autocomplete="off">
<button type="submit">Show the state of my report</button>
</form>
</noscript>
<section id="thanks" hidden aria-labelledby="got">
<h1 id="got" tabindex="-1">Thank you. It has arrived.</h1>
<p>Keep this token: with it you can ask what became of your report. It is not shown again.</p>
<code id="token"></code>
<p><a id="link" href="">Show the state of my report</a></p>
</section>
<section id="state" hidden aria-labelledby="now">
<h1 id="now" tabindex="-1">Your report</h1>
<p id="line" role="status">Asking …</p>
<dl id="dates"></dl>
</section>
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def form_page(asked: Mapping[str, str] | None = None) -> bytes:
    """The page, the same for everybody but for the ids in its address (`asked`) where they are well-formed."""
    return (_HEAD.replace("%s", "Report a problem") + _section(asked or {}) + _FOR_THE_SCRIPT).encode()


def refused_page(problem: str, said: Mapping[str, str]) -> bytes:
    """The form again: what is in the way, and every word that was typed."""
    return _page("Not sent: report a problem", _section(said, problem))


def thanks_page(token: str) -> bytes:
    """It has arrived; the token, and a way to ask with it that puts it into no address."""
    says = "Keep this token: with it you can ask what became of your report. It is not shown again."
    body = f'<h1>Thank you. It has arrived.</h1>\n<p>{says}</p>\n<code id="token">{escape(token)}</code>\n'
    return _page("Your report has arrived", body + _asking(token, "Show the state of my report"))


def state_page(token: str, state: Mapping[str, Any] | None = None, problem: str = "") -> bytes:
    """What became of the report with this token, and when; or why that cannot be said, and the token to mend."""
    if state is None:
        field = (
            '<label for="held">Your token</label>\n'
            f'<input id="held" name="token" required maxlength="200" autocomplete="off" value="{escape(token)}">'
        )
        asking = (
            f'<form method="post" action="report-form">\n{field}\n<button type="submit">Ask again</button>\n</form>'
        )
        return _page("Your report", f'<h1>Your report</h1>\n<p role="alert">{escape(problem)}</p>\n{asking}\n')
    dates = "".join(f"<dt>{words}</dt>{_day(str(state[name]))}" for name, words in _DATES.items() if state.get(name))
    line = f'<p id="line" role="status">{escape(str(state["line"]))}</p>\n<dl id="dates">{dates}</dl>\n'
    return _page("Your report", f"<h1>Your report</h1>\n{line}" + _asking(token, "Ask again"))


def _page(title: str, body: str) -> bytes:
    return (_HEAD.replace("%s", title) + body + "</main>\n</body>\n</html>\n").encode("utf-8", "replace")


def _asking(token: str, words: str) -> str:
    hidden = f'<input type="hidden" name="token" value="{escape(token)}">'
    return f'<form method="post" action="report-form">{hidden}<button type="submit">{words}</button></form>\n'


def _day(text: str) -> str:
    at = datetime.fromisoformat(text).astimezone(UTC)
    return f'<dd><time datetime="{at:%Y-%m-%dT%H:%M:%SZ}">{at:%Y-%m-%d %H:%M} UTC</time></dd>'


def _section(said: Mapping[str, str], problem: str = "") -> str:
    """The form. In front of a text area's text goes a line's end, of which browsers leave out the first."""
    ids = {name: said[name] for name in HIDDEN if _WELL_FORMED.fullmatch(said.get(name) or "")}
    if ids.get("interaction") == "INTERACTION":  # a snippet whose place was left unfilled
        del ids["interaction"]
    kept = "".join(f'\n<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in ids.items())
    alert = f'<p role="alert" id="problem">{escape(problem)}</p>\n'
    first, last = (alert, "") if problem else ("", alert)
    unseen = "" if "interaction" in ids else " hidden"
    what, expected = (f"\n{escape(said[name])}" if said.get(name) else "" for name in TYPED[:2])
    contact = f' value="{escape(said["contact"])}"' if said.get("contact") else ""
    return f"""<section id="form" aria-labelledby="ask">
<h1 id="ask" tabindex="-1">Something went wrong?</h1>
{first}<p class="quiet">Say what happened, not who did it. Please leave out names. No account is needed, and you need
not say who you are.</p>
<form id="fields" method="post" action="report-form">{kept}
<p class="quiet" id="about"{unseen}>Your report will be joined to the answer you came from.</p>
<label for="what">What happened?</label>
<textarea id="what" name="what" required maxlength="10000" aria-describedby="problem">{what}</textarea>
<div class="short">
<label for="expected">What did you expect? <span>(optional)</span></label>
<textarea id="expected" name="expected" maxlength="10000">{expected}</textarea>
</div>
<label for="contact">How can we tell you when it is fixed? <span>(optional)</span></label>
<input id="contact" name="contact" maxlength="300" autocomplete="off" aria-describedby="why"{contact}>
<p class="quiet" id="why">Kept apart from your report, and only until we have told you.</p>
{last}<button id="send" type="submit">Send the report</button>
</form>
</section>
"""


def form_headers(embed_on: Iterable[str] = (), *, script: bool = True) -> dict[str, str]:
    """The headers that go with it: its own style and script run and nothing else; only `embed_on` may frame it.

    The pages that answer a form without JavaScript have no `script`, and may be stored nowhere.

    >>> form_headers(["https://shop.example"])["Content-Security-Policy"].rpartition("; ")[2]
    "frame-ancestors 'self' https://shop.example"
    """
    ancestors = " ".join(["'self'", *embed_on])
    rules = (
        "default-src 'none'",
        f"style-src {_source(_STYLE)}",
        *((f"script-src {_source(_SCRIPT)}", "connect-src 'self'") if script else ()),
        "form-action 'self'",
        "base-uri 'none'",
        f"frame-ancestors {ancestors}",
    )
    return {
        "Content-Security-Policy": "; ".join(rules),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache" if script else "no-store",
    }


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def snippet(address: str, key: str = "") -> str:
    """The HTML that puts the form into a product's page; `INTERACTION` stands for the id of the answer it is about.

    >>> print(snippet("https://flywheel.example"))
    <iframe src="https://flywheel.example/report-form?interaction=INTERACTION" title="Report a problem"
      loading="lazy" referrerpolicy="no-referrer" style="width:100%;height:40rem;border:0"></iframe>
    """
    part = f"#key={key}" if key else ""
    source = escape(f"{address.rstrip('/')}/report-form?interaction=INTERACTION{part}")
    return (
        f'<iframe src="{source}" title="Report a problem"\n'
        '  loading="lazy" referrerpolicy="no-referrer" style="width:100%;height:40rem;border:0"></iframe>'
    )
