"""The look: quiet, dense, legible; light and dark; at 390 pixels what is beside each other stands below each other."""

__all__ = ["CSS"]

_COLOURS = """
:root{--fg:#1c1f24;--dim:#5a626e;--bg:#fbfbfa;--panel:#fff;--line:#e3e5e8;--edge:#868d97;--accent:#0060a0;
--hover:#f0f2f4;--good:#00694b;--bad:#a93c00;--warn:#7a5c00;--new:#8a3f72;--on:#fff;color-scheme:light}
body.body--dark{--fg:#e4e6ea;--dim:#9fa8b4;--bg:#111316;--panel:#181b1f;--line:#2a2f36;--edge:#737b86;--accent:#6cb8ee;
--hover:#20242a;--good:#4cc9a0;--bad:#f0915a;--warn:#e0b84c;--new:#dc9cc4;--on:#0b0d10;color-scheme:dark}
"""
_PAGE = """
body,body.body--dark{background:var(--bg);color:var(--fg);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;font-variant-numeric:tabular-nums}
.nicegui-content{display:block;padding:1.5rem 2rem 4rem calc(13rem + 2rem);max-width:calc(13rem + 84rem)}
a.nicegui-link,.fw-main a{color:var(--accent);text-decoration:none}
a.nicegui-link:hover,.fw-main a:hover{text-decoration:underline}
.fw-main p a{text-decoration:underline;text-underline-offset:2px}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:3px}.fw-main:focus{outline:none}
.fw-skip{position:absolute;left:-999px}
.fw-skip:focus{left:1rem;top:.5rem;z-index:20;background:var(--panel);padding:.3rem .6rem}
.fw-title{font-size:1.35rem;font-weight:620;letter-spacing:-.015em;line-height:1.3;margin:0 0 1rem}
.fw-main h2{font-size:.95rem;font-weight:620;line-height:1.4;margin:0;letter-spacing:0}
.fw-main h3{font-size:1em;font-weight:500;line-height:1.5;margin:0;letter-spacing:0}
.fw-main ul,.fw-main ol{padding-left:1.2rem;margin:.2rem 0}
.fw-dim{color:var(--dim)}.fw-small{font-size:.85rem}
.fw-good{color:var(--good)}.fw-bad{color:var(--bad)}.fw-warn{color:var(--warn)}
"""
_RAIL = """
.fw-rail{position:fixed;inset:0 auto 0 0;width:13rem;background:var(--panel);border-right:1px solid var(--line);
padding:1.1rem .75rem;display:flex;flex-direction:column;gap:1rem;z-index:10;overflow-y:auto}
.fw-brand{padding:0 .6rem;display:flex;flex-direction:column;min-width:0}
.fw-mark{font-weight:650;letter-spacing:-.01em}
.fw-name{color:var(--dim);font-size:.85rem;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.fw-rail nav{display:flex;flex-direction:column;gap:1px}
.fw-rail nav a{color:var(--fg);padding:.3rem .6rem;border-radius:6px}
.fw-rail nav a:hover{background:var(--hover);text-decoration:none}
.fw-rail nav a[aria-current]{background:var(--hover);font-weight:600}
.fw-foot{margin-top:auto;padding:0 .6rem;display:flex;flex-direction:column;align-items:flex-start;gap:.25rem;
font-size:.85rem;overflow-wrap:anywhere}
.fw-foot button{font:inherit;color:var(--dim);background:none;border:0;padding:0;min-height:1.7rem;cursor:pointer}
.fw-foot button:hover{color:var(--fg)}
.fw-menu{display:none;font:inherit;color:var(--fg);background:none;border:1px solid var(--edge);border-radius:6px;
padding:.2rem .7rem;min-height:2.2rem;cursor:pointer}
"""
_PARTS = """
.fw-block{display:block;background:var(--panel);border:1px solid var(--line);border-radius:8px;padding:.9rem 1rem;
margin:0 0 1rem;min-width:0}
.fw-main article{padding:.7rem 0;border-top:1px solid var(--line)}.fw-main article p{margin:.1rem 0}
.fw-main article.fw-drawn{display:grid;grid-template-columns:minmax(0,3fr) minmax(0,2fr);gap:.3rem 1.5rem}
.fw-drawn>h3{grid-column:1/-1}.fw-drawn .fw-says{display:none}
.fw-hurts>h3{color:var(--bad)}
.fw-block>p,.fw-says{margin:.1rem 0 .7rem;color:var(--dim)}
.fw-block>h2+.fw-figures{margin-top:.5rem}.fw-block>.fw-figures:last-child{margin-bottom:.2rem}
.fw-main summary{display:list-item;list-style:disclosure-closed inside;cursor:pointer;width:fit-content}
.fw-main details[open]>summary{list-style-type:disclosure-open}
.fw-grid{margin:0 0 1rem;display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr))}
.fw-grid>.fw-block{margin:0}
.fw-figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:1rem;margin:0 0 1rem}
.fw-figure{display:flex;flex-direction:column;border-left:2px solid var(--line);padding-left:.75rem;min-width:0}
.fw-figure>.n{font-size:1.35rem;font-weight:600;letter-spacing:-.02em;line-height:1.25}
.fw-figure>*{overflow-wrap:anywhere}
.fw-badge{display:inline-block;font-size:.78rem;font-weight:550;border:1px solid currentColor;border-radius:99px;
padding:0 .5rem;white-space:nowrap}
.fw-row{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:center}.fw-main>.fw-row{margin:0 0 1rem}
.fw-tabs{display:flex;flex-wrap:wrap;gap:.25rem;margin:0 0 1rem}
.fw-tabs a{padding:.15rem .6rem;border-radius:6px;color:var(--dim)}
.fw-tabs a[aria-current]{background:var(--hover);color:var(--fg);font-weight:600}
.fw-meter{display:block;height:6px;background:var(--line);border-radius:3px;overflow:hidden;min-width:4rem}
.fw-meter>i{display:block;height:100%;background:var(--accent)}
.fw-stages{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.2rem,1fr));gap:.5rem;list-style:none}
.fw-main ol.fw-stages{margin:0;padding:0}
.fw-stages li{border-top:3px solid var(--line);padding-top:.4rem;display:flex;flex-direction:column}
.fw-stages li.now{border-color:var(--accent)}.fw-stages li.done{border-color:var(--good)}
.fw-steps{display:grid;grid-template-columns:repeat(auto-fit,minmax(5rem,1fr));gap:.3rem;list-style:none;
font-size:.85rem}
.fw-main ol.fw-steps{padding:0;margin:.6rem 0 .4rem}
.fw-steps li{border-top:3px solid var(--line);padding-top:.2rem;color:var(--dim)}
.fw-steps li.done{border-color:var(--good)}.fw-steps li.now{border-color:var(--accent);color:var(--fg);font-weight:600}
.fw-chat{display:flex;flex-direction:column;gap:.5rem}
.fw-chat>div{border:1px solid var(--line);border-radius:8px;padding:.45rem .7rem;max-width:46rem}
.fw-chat>.user{background:var(--hover);align-self:flex-end}
.fw-chart{height:15rem;width:100%;position:relative}.fw-told{font-size:.8rem!important;line-height:1.45!important}
"""
_TEXT = """
.fw-text{white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext}
.fw-code{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,monospace;white-space:pre-wrap;overflow-wrap:anywhere;
unicode-bidi:plaintext;background:var(--hover);border-radius:6px;padding:.5rem .7rem;display:block;margin:.3rem 0}
.fw-empty,.fw-error{border:1px dashed var(--edge);border-radius:8px;padding:.9rem 1.1rem;color:var(--dim);
margin:0 0 1rem}
.fw-empty p,.fw-error p{margin:0 0 .3rem}
.fw-error p::first-letter{text-transform:uppercase}
.fw-error{border:1px solid var(--bad);border-left-width:4px;color:var(--fg)}
.fw-block .fw-empty{border:0;padding:.2rem 0;margin:0}
.fw-reading{color:var(--dim)}
.fw-reading i{display:block;height:.9rem;margin:.7rem 0;border-radius:4px;background:var(--line);
animation:fw-wait 1.4s ease-in-out infinite alternate}
@keyframes fw-wait{to{opacity:.35}}
"""
_TABLES = """
.fw-scroll{overflow-x:auto}.fw-table{border-collapse:collapse;width:100%}
.fw-table th{text-align:left;font-weight:550;color:var(--dim);font-size:.82rem;white-space:nowrap}
.fw-table th,.fw-table td{padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
.fw-table tr:last-child td{border-bottom:0}.fw-table td{max-width:34rem;overflow-wrap:break-word}
.fw-lead{display:block;min-width:8rem}.fw-broad{display:block;min-width:12rem}.fw-one{white-space:nowrap}
.fw-table .num{text-align:right;white-space:nowrap}.fw-table tbody tr:hover{background:var(--hover)}
"""
_DOING = """
.fw-do,.fw-quiet-do{font:inherit;font-weight:550;border-radius:6px;padding:.35rem .9rem;min-height:2.2rem;
cursor:pointer;border:1px solid var(--accent)}
.fw-do{background:var(--accent);color:var(--on)}
.fw-quiet-do{background:none;color:var(--fg);border-color:var(--edge)}
.fw-do:hover,.fw-quiet-do:hover{filter:brightness(1.08)}.fw-quiet-do:hover{background:var(--hover)}
.fw-do:disabled,.fw-quiet-do:disabled{opacity:.55;cursor:default}
.fw-ask{display:flex;flex-wrap:wrap;gap:.6rem 1rem;align-items:end;margin:.3rem 0 0}
.fw-ask label{display:flex;flex-direction:column;gap:.15rem;font-size:.85rem;color:var(--dim)}
.fw-ask input,.fw-ask select{font:inherit;font-size:14px;color:var(--fg);background:var(--panel);min-height:2.2rem;
border:1px solid var(--edge);border-radius:6px;padding:.25rem .55rem;max-width:100%}
.fw-ask input[type=number]{width:7rem}
.q-btn{text-transform:none;font-weight:550}
body{--q-primary:#0060a0!important}body.body--dark{--q-primary:#6cb8ee!important}
.body--dark .q-btn.bg-primary{--q-primary:#0060a0}
.q-card{background:var(--panel);color:var(--fg);border:1px solid var(--line);padding:1.1rem}
.q-field__label,.q-field__native,.q-field__input{color:var(--fg)!important}.q-field__label{opacity:.8}
"""
_NARROW = """
@media(max-width:760px){.nicegui-content{padding:4.6rem 1rem 3rem}
.fw-rail{inset:0 0 auto 0;width:auto;border-right:0;border-bottom:1px solid var(--line);padding:.5rem 1rem;
display:grid;grid-template-columns:1fr auto;align-items:center;gap:0 .8rem;max-height:100vh}
.fw-brand{padding:0}.fw-brand .fw-mark{line-height:1.2}.fw-menu{display:block}
.fw-rail nav,.fw-foot{display:none;grid-column:1/-1}
.fw-rail.open nav{display:grid;grid-template-columns:1fr 1fr;gap:.1rem .5rem;margin:.6rem 0 0}
.fw-rail.open .fw-foot{display:flex;flex-direction:row;align-items:center;gap:1rem;margin:.5rem 0 .2rem}
.fw-rail nav a{padding:.55rem .6rem}
.fw-main article.fw-drawn{display:block}
.fw-wide .fw-table,.fw-wide tbody,.fw-wide tr,.fw-wide td{display:block;width:100%;max-width:none}
.fw-wide thead{position:absolute;left:-9999px}
.fw-wide.fw-scroll{overflow:visible}
.fw-wide tr{border-bottom:1px solid var(--line);padding:.5rem 0}.fw-wide tr:last-child{border:0}
.fw-wide td,.fw-wide td.num{display:grid;grid-template-columns:6.2rem minmax(0,1fr);gap:.2rem .7rem;border:0;
padding:.12rem 0;text-align:left;white-space:normal;justify-items:start}
.fw-wide td::before{content:attr(data-head);color:var(--dim);font-size:.82rem;line-height:1.7}
.fw-wide td.none{display:none}
.q-field{width:100%}}
@media(prefers-reduced-motion:reduce){*{animation:none!important;transition:none!important}}
"""
CSS = _COLOURS + _PAGE + _RAIL + _PARTS + _TEXT + _TABLES + _DOING + _NARROW
