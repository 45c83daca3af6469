"""The look: quiet, dense, legible; light and dark."""
# ruff: noqa: E501

__all__ = ["CSS"]

CSS = """
:root{--fg:#1c1f24;--dim:#5c6470;--bg:#fbfbfa;--panel:#fff;--line:#e3e5e8;--accent:#0060a0;--hover:#f0f2f4;
--good:#00694b;--bad:#a93c00;--warn:#7a5c00;--new:#8a3f72}
body.body--dark{--fg:#e4e6ea;--dim:#9aa3af;--bg:#111316;--panel:#181b1f;--line:#2a2f36;--accent:#6cb8ee;--hover:#20242a;
--good:#4cc9a0;--bad:#f0915a;--warn:#e0b84c;--new:#dc9cc4}
body,body.body--dark{background:var(--bg);color:var(--fg);font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
font-variant-numeric:tabular-nums}
.nicegui-content{display:block;padding:1.5rem 2rem 4rem calc(13rem + 2rem);max-width:calc(13rem + 84rem)}
a.nicegui-link,.fw-main a{color:var(--accent);text-decoration:none}a.nicegui-link:hover,.fw-main a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:3px}.fw-main:focus{outline:none}
.fw-skip{position:absolute;left:-999px}.fw-skip:focus{left:1rem;top:.5rem;z-index:20;background:var(--panel);padding:.3rem .6rem}
.fw-rail{position:fixed;inset:0 auto 0 0;width:13rem;background:var(--panel);border-right:1px solid var(--line);
padding:1.1rem .75rem;display:flex;flex-direction:column;gap:1rem;z-index:10}
.fw-brand{padding:0 .6rem;display:flex;flex-direction:column}.fw-mark{font-weight:650;letter-spacing:-.01em}
.fw-name{color:var(--dim);font-size:.85rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.fw-rail nav{display:flex;flex-direction:column;gap:1px}
.fw-rail nav a{color:var(--fg);padding:.3rem .6rem;border-radius:6px}.fw-rail nav a:hover{background:var(--hover);text-decoration:none}
.fw-rail nav a[aria-current]{background:var(--hover);font-weight:600}
.fw-foot{margin-top:auto;padding:0 .6rem;display:flex;flex-direction:column;align-items:flex-start;gap:.25rem;font-size:.85rem;overflow-wrap:anywhere}
.fw-plain,.fw-foot .q-btn{font:inherit;color:var(--dim)!important;background:none;border:0;padding:0;min-height:1.6rem;cursor:pointer}
.fw-title{font-size:1.35rem;font-weight:620;letter-spacing:-.015em;line-height:1.3;margin:0 0 1rem}
.fw-main h2{font-size:.95rem;font-weight:620;line-height:1.4;margin:0;letter-spacing:0}
.fw-dim{color:var(--dim)}.fw-small{font-size:.85rem}.fw-good{color:var(--good)}.fw-bad{color:var(--bad)}.fw-warn{color:var(--warn)}
.fw-block{display:block;background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:.9rem 1rem;margin:0 0 1rem;min-width:0}
.fw-main article{padding:.55rem 0;border-top:1px solid var(--line)}.fw-main article p{margin:.1rem 0}
.fw-main article>p:first-child,.fw-main article>:first-child p{color:var(--fg)}
.fw-block>p,.fw-says{margin:.1rem 0 .7rem;color:var(--dim)}
.fw-grid{margin:0 0 1rem;display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr))}.fw-grid>.fw-block{margin:0}
.fw-figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:1rem;margin:0 0 1rem}
.fw-figure{display:flex;flex-direction:column;border-left:2px solid var(--line);padding-left:.75rem;min-width:0}
.fw-figure>.n{font-size:1.35rem;font-weight:600;letter-spacing:-.02em;line-height:1.25}
.fw-figure>*{overflow-wrap:anywhere}
.fw-badge{display:inline-block;font-size:.78rem;font-weight:550;border:1px solid currentColor;border-radius:99px;padding:0 .5rem;white-space:nowrap}
.fw-scroll{overflow-x:auto}.fw-table{border-collapse:collapse;width:100%}
.fw-table th{text-align:left;font-weight:550;color:var(--dim);font-size:.82rem;white-space:nowrap}
.fw-table th,.fw-table td{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
.fw-table tr:last-child td{border-bottom:0}.fw-table td{max-width:34rem;overflow-wrap:break-word}
.fw-table .num{text-align:right;white-space:nowrap}.fw-table tbody tr:hover{background:var(--hover)}
.fw-text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext}
.fw-code{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext;
background:var(--hover);border-radius:6px;padding:.5rem .7rem;display:block;margin:.3rem 0}
.fw-empty,.fw-error{border:1px dashed var(--line);border-radius:8px;padding:1.1rem;color:var(--dim);margin:0 0 1rem}
.fw-error{border:1px solid var(--bad);color:var(--fg)}
.fw-meter{display:block;height:6px;background:var(--line);border-radius:3px;overflow:hidden;min-width:4rem}.fw-meter>i{display:block;height:100%;background:var(--accent)}
.fw-row{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center}
.fw-tabs{display:flex;flex-wrap:wrap;gap:.25rem;margin:0 0 1rem}.fw-tabs a{padding:.15rem .6rem;border-radius:6px;color:var(--dim)}
.fw-tabs a[aria-current]{background:var(--hover);color:var(--fg);font-weight:600}
.fw-stages{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.5rem;list-style:none;margin:0;padding:0}
.fw-stages li{border-top:3px solid var(--line);padding-top:.4rem;display:flex;flex-direction:column}.fw-stages li.now{border-color:var(--accent)}
.fw-stages li.done{border-color:var(--good)}
.fw-chat{display:flex;flex-direction:column;gap:.5rem}.fw-chat>div{border:1px solid var(--line);border-radius:8px;padding:.45rem .7rem;max-width:46rem}
.fw-chat>.user{background:var(--hover);align-self:flex-end}
.fw-chart{height:15rem;width:100%}
.q-btn{text-transform:none;font-weight:550}
@media(max-width:760px){.nicegui-content{padding:7.2rem 1rem 2rem}
.fw-rail{inset:0 0 auto 0;width:auto;border-right:0;border-bottom:1px solid var(--line);padding:.6rem 1rem .3rem;display:grid;grid-template-columns:1fr auto;gap:.3rem}
.fw-brand{padding:0;min-width:0}.fw-foot{margin:0;padding:0;flex-direction:row;align-items:center;gap:.7rem}
.fw-rail nav{grid-row:2;grid-column:1/-1;flex-direction:row;overflow-x:auto;scrollbar-width:none}.fw-rail nav a{white-space:nowrap;padding:.3rem .55rem}}
@media(prefers-reduced-motion:reduce){*{animation:none!important;transition:none!important}}
"""
