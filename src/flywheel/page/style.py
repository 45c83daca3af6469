"""How the report looks: quiet, dense, legible, by day and by night, on a desk and on a telephone."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--page:#fbfbf9;--card:#fff;--ink:#1d2125;--soft:#5d666f;--line:#e2e3de;--fill:#eceee9;
--blue:#2f6f9f;--green:#2c7a52;--amber:#9a6200;--red:#b3372f;--tint:#f3f5f1}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--card:#1a1e22;--ink:#e3e6e8;--soft:#98a2ab;--line:#2d3339;
--fill:#2a3036;--blue:#6fb1dd;--green:#69bf93;--amber:#dca74e;--red:#ee8a80;--tint:#1f2429}
}*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;-webkit-text-size-adjust:100%;
font-variant-numeric:tabular-nums}main{max-width:1180px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:22px;margin:0;letter-spacing:-.01em}h2{font-size:16px;margin:44px 0 4px;padding-top:14px;
border-top:1px solid var(--line)}h3{font-size:13px;margin:20px 0 6px}
p{margin:4px 0 10px;max-width:76ch}.quiet,figcaption,.lead{color:var(--soft)}
.lead{margin-bottom:14px}.where{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px;
color:var(--soft);overflow-wrap:anywhere}.facts{display:flex;flex-wrap:wrap;gap:10px 32px;margin:18px 0 0}
.facts div{min-width:84px}.facts b{display:block;font-size:20px;font-weight:600;line-height:1.25}
.facts span{color:var(--soft);font-size:12.5px}nav{margin:18px 0 0;font-size:13px;display:flex;flex-wrap:wrap;
gap:2px 16px}a{color:var(--blue)}nav a{text-decoration:none}nav a:hover{text-decoration:underline}
.stages{display:grid;grid-template-columns:repeat(auto-fill,minmax(262px,1fr));gap:12px}
.stage{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:12px 14px}
.stage header{display:flex;justify-content:space-between;gap:8px}
.stage h3{margin:0;font-size:14px}.stage p{margin:0 0 8px;color:var(--soft);font-size:12.5px}
.stage ul{list-style:none;margin:0;padding:0;font-size:13px}.stage li{display:grid;grid-template-columns:16px 1fr;
padding:2px 0}.stage li small{grid-column:2;color:var(--soft);font-size:12px;line-height:1.35}
.yes{color:var(--green)}.no{color:var(--red)}.dots{letter-spacing:2px;color:var(--soft);font-size:12px;
white-space:nowrap}.dots i{font-style:normal;color:var(--green)}
ol.fix{list-style:none;margin:0;padding:0;counter-reset:n}.fix>li{counter-increment:n;display:grid;
grid-template-columns:34px minmax(0,1fr) minmax(0,460px);gap:0 16px;padding:10px 0;border-top:1px solid var(--line)}
.fix>li:first-child{border-top:0}.fix>li:before{content:counter(n);color:var(--soft);font-size:15px}
.fix h3{margin:0;font-size:14.5px;display:flex;flex-wrap:wrap;gap:2px 10px;align-items:baseline}
.fix p{margin:2px 0}.tag{font-size:11.5px;font-weight:500;border:1px solid currentColor;border-radius:3px;
padding:0 5px;white-space:nowrap}.s3{color:var(--red)}.s2{color:var(--amber)}
.s1{color:var(--soft)}code,pre{font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{margin:2px 0;align-self:start;background:var(--tint);border-radius:4px;padding:6px 10px;white-space:pre-wrap;
overflow-wrap:anywhere}td code{overflow-wrap:anywhere}.two{display:grid;
grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:8px 36px;align-items:start}
figure{margin:12px 0 0}figcaption{font-size:12.5px;margin-bottom:6px}
.days svg{display:block;width:100%;height:120px;
background:linear-gradient(var(--line),var(--line)) bottom/100% 1px no-repeat}
.vol{fill:var(--blue)}.gap{fill:var(--red);fill-opacity:.22}.ends{display:flex;justify-content:space-between;
color:var(--soft);font-size:12px;margin-top:2px}.week{display:grid;grid-template-columns:34px 1fr;max-width:540px}
.week svg{display:block;width:100%;height:auto;fill:var(--blue)}
.week .names{display:flex;flex-direction:column;font-size:11.5px;color:var(--soft);padding-bottom:18px}
.week .names span{flex:1;display:flex;align-items:center;line-height:1;min-height:0}
.week .hours{display:grid;grid-template-columns:repeat(4,1fr);font-size:11.5px;color:var(--soft);height:18px}
table{border-collapse:collapse;width:100%;font-size:13px;margin:6px 0 0}
th{font-weight:500;color:var(--soft);text-align:left;font-size:12px;padding:4px 14px 4px 0;
border-bottom:1px solid var(--line);vertical-align:bottom}td{padding:4px 14px 4px 0;
border-bottom:1px solid var(--line);vertical-align:top}tr:last-child td{border-bottom:0}
.r{text-align:right;white-space:nowrap}td.f{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
font-size:12.5px;overflow-wrap:anywhere}
.stack td.f{min-width:200px}td small.in{display:inline}td small.no{color:var(--red)}
td small{color:var(--soft);display:block;overflow-wrap:anywhere}
td.b{width:130px;min-width:90px}.bar{position:relative;display:block;height:9px;margin-top:6px;
background:var(--fill);border-radius:2px;overflow:hidden}.bar i{display:block;height:100%;background:var(--blue)}
.bar i.bad{background:var(--red)}.bar i.warn{background:var(--amber)}
.bar b{position:absolute;top:0;bottom:0;width:1.5px;background:var(--ink)}
.cols{display:flex;align-items:flex-end;gap:3px;height:var(--tall)}
.cols div{flex:1;display:flex;flex-direction:column;justify-content:flex-end;align-items:stretch;text-align:center;
min-width:0}.cols i{display:block;background:var(--blue);border-radius:2px 2px 0 0}
.cols i.warn{background:var(--amber)}.cols span{font-size:10.5px;color:var(--soft);white-space:nowrap}
.cols .x{border-top:1px solid var(--line);padding-top:2px}.note{color:var(--amber)}
.ex{color:var(--soft)}.ex q{quotes:none;overflow-wrap:anywhere}
.ex q+q:before{content:" · ";color:var(--soft)}table.slim{max-width:760px}table+table{margin-top:18px}
footer{margin-top:48px;padding-top:14px;border-top:1px solid var(--line);color:var(--soft);font-size:12.5px}
footer p{max-width:96ch}@media(max-width:700px){main{padding:18px 14px 40px}
.facts{gap:10px 22px}.facts b{font-size:17px}.stack thead{display:none}
.stack tr{display:grid;grid-template-columns:1fr 1fr;gap:0 12px;padding:8px 0;border-bottom:1px solid var(--line)}
.stack td{border:0;padding:1px 0;width:auto}.stack td.f,.stack td.wide{grid-column:1/-1}
.stack td.r{text-align:left}.stack td[data-h]:not(:empty):before{content:attr(data-h) " ";color:var(--soft);
font-size:12px}.stack td:empty{display:none}.cols .n{writing-mode:vertical-rl;transform:rotate(180deg);
align-self:center}.cols{height:calc(var(--tall) + 26px)}.cols .x{font-size:9.5px;white-space:normal;
line-height:1.15;min-height:26px}.fix>li{grid-template-columns:20px minmax(0,1fr);gap:0 6px}
.fix pre{grid-column:2;margin-top:6px}.week .names{font-size:9.5px}
.slim td.b{width:64px;min-width:56px}.slim td{padding-right:10px}}
@media print{body{background:#fff}.stage,.fix>li{break-inside:avoid}
nav{display:none}}
"""
