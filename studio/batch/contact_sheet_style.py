"""How the contact sheet of a batch looks, by day and by night."""

from __future__ import annotations

# Every page says so of itself, by which a later report knows what it may replace.
GENERATOR = "local-video-studio batch report"

STYLE = """
:root { color-scheme: light dark; --paper: #f4f5f7; --card: #fff; --ink: #161e2c; --soft: #586376; --line: #dfe4eb;
--good: #1e7044; --good-wash: #def0e5; --warn: #7d5609; --warn-wash: #faf0d6; --bad: #b82c22; --bad-wash: #fbe0dc;
--dull: #586376; --dull-wash: #e9ecf1; --busy: #2a5298; --busy-wash: #dce5f3; --screen: #0d1117; }
@media (prefers-color-scheme: dark) { :root { --paper: #0e1217; --card: #171d25; --ink: #e8ecf2; --soft: #9aa7b8;
--line: #2a333f; --good: #6fd39b; --good-wash: #15321f; --warn: #eabf62; --warn-wash: #37290a; --bad: #ff9287;
--bad-wash: #421a16; --dull: #9aa7b8; --dull-wash: #242d38; --busy: #8fb4f5; --busy-wash: #1b2c4b;
--screen: #05070a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1680px; padding: 32px 32px 48px; background: var(--paper); color: var(--ink);
font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
p, h1, dl, dd, fieldset { margin: 0; padding: 0; border: 0; }
.kind { color: var(--soft); font-size: 13px; letter-spacing: .08em; text-transform: uppercase; }
h1 { font-size: 30px; line-height: 1.2; font-weight: 650; letter-spacing: -.01em; overflow-wrap: anywhere; }
.sum { margin-top: 6px; font-size: 18px; color: var(--soft); } .sum b { color: var(--ink); font-weight: 650; }
.bar { display: flex; gap: 2px; height: 8px; margin: 16px 0; border-radius: 4px; overflow: hidden; }
.bar i { min-width: 3px; background: currentcolor; }
header dl { display: flex; flex-wrap: wrap; gap: 10px 36px; }
header dl div { display: flex; flex-direction: column-reverse; }
header dd { font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
dt { color: var(--soft); font-size: 13px; }
fieldset { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 24px; }
fieldset input { position: absolute; opacity: 0; }
label { padding: 6px 14px; border: 1px solid var(--line); border-radius: 999px; background: var(--card);
font-size: 14px; cursor: pointer; }
label span { color: var(--soft); font-variant-numeric: tabular-nums; }
input:checked + label { background: var(--ink); border-color: var(--ink); color: var(--paper); }
input:checked + label span { color: inherit; opacity: .7; }
input:focus-visible + label, summary:focus-visible, video:focus-visible { outline: 3px solid var(--busy);
outline-offset: 2px; }
nav { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 14px; margin-top: 20px; font-size: 14px; }
a { color: var(--busy); text-underline-offset: 3px; font-variant-numeric: tabular-nums; }
a[aria-current] { color: var(--ink); font-weight: 600; text-decoration: none; }
.failures a, .failures b { color: var(--bad); } .failures { max-height: 130px; overflow: auto; }
article:target { outline: 3px solid var(--busy); outline-offset: 2px; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(264px, 100%), 1fr)); gap: 20px;
margin: 24px 0 32px; }
article { display: flex; flex-direction: column; background: var(--card); border: 1px solid var(--line);
border-radius: 12px; overflow: hidden; }
article.bad { border-color: var(--bad); }
.screen { display: block; width: 100%; height: auto; max-height: 420px; background: var(--screen);
object-fit: contain; }
@media (hover: hover) { video:not(:hover, :focus-visible)::-webkit-media-controls { opacity: 0; } }
.empty { max-height: 180px; display: flex; flex-direction: column; align-items: center; justify-content: center;
gap: 4px; }
.empty span { font-size: 34px; line-height: 1; } .empty b { font-weight: 600; }
.body { flex: 1; padding: 12px 14px; display: flex; flex-direction: column; gap: 8px; }
.head { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 8px; }
.number { color: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; }
.number::before { content: "#"; } .name { overflow-wrap: anywhere; font-weight: 600; }
.badge { margin-left: auto; padding: 2px 9px; border-radius: 999px; font-size: 12px; font-weight: 600;
white-space: nowrap; }
.prompt { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 4; overflow: hidden;
overflow-wrap: anywhere; white-space: pre-line; }
article:has(details[open]) .prompt { -webkit-line-clamp: none; }
.error { padding: 8px 10px; border-radius: 8px; font-size: 13.5px; overflow-wrap: anywhere; }
.bad .error { background: var(--bad-wash); color: var(--bad); }
.warn .error { background: var(--warn-wash); color: var(--warn); }
.dull .error, .busy .error, .good .error { background: var(--dull-wash); color: var(--ink); }
.facts { margin-top: auto; display: flex; flex-wrap: wrap; gap: 0 12px; color: var(--soft); font-size: 13px;
font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
summary { color: var(--soft); font-size: 13px; cursor: pointer; width: fit-content; border-radius: 4px; }
details dl { display: grid; gap: 4px; margin-top: 8px; font-size: 13px; }
details dl div { display: grid; grid-template-columns: 84px 1fr; gap: 8px; }
details dd { overflow-wrap: anywhere; }
.badge.good, .empty.good { background: var(--good-wash); } .badge.good, i.good { color: var(--good); }
.badge.warn, .empty.warn { background: var(--warn-wash); } .badge.warn, i.warn { color: var(--warn); }
.badge.bad, .empty.bad { background: var(--bad-wash); } .badge.bad, i.bad { color: var(--bad); }
.badge.dull, .empty.dull { background: var(--dull-wash); } .badge.dull, i.dull { color: var(--dull); }
.badge.busy, .empty.busy { background: var(--busy-wash); } .badge.busy, i.busy { color: var(--busy); }
.empty.bad { color: var(--bad); } .empty.warn { color: var(--warn); } .empty.dull { color: var(--dull); }
.empty.busy { color: var(--busy); }
body:has(#show-good:checked) article:not(.good), body:has(#show-warn:checked) article:not(.warn),
body:has(#show-bad:checked) article:not(.bad), body:has(#show-busy:checked) article:not(.busy),
body:has(#show-dull:checked) article:not(.dull) { display: none; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
footer { border-top: 1px solid var(--line); padding-top: 14px; color: var(--soft); font-size: 13px; }
code { font: 12.5px ui-monospace, SFMono-Regular, Menlo, monospace; }
@media (max-width: 600px) { body { padding: 20px 16px 32px; } h1 { font-size: 24px; } main { gap: 14px; } }
@media print { fieldset, details, nav { display: none; } article { break-inside: avoid; } }
"""
