"""How the readable report looks: light and dark, on a phone, on paper."""

STYLE = """
:root { --ink: #1a1c1e; --soft: #5a6067; --line: #d5d9dd; --paper: #fff; --tint: #f4f6f8;
  --good: #0b6b3a; --good-tint: #e6f4ec; --bad: #a31515; --bad-tint: #fdeaea; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9aa2ab; --line: #3a4048; --paper: #15181b;
  --tint: #1f2429; --good: #6fd39c; --good-tint: #12301f; --bad: #ff9a92; --bad-tint: #3a1717; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 52rem; margin: 0 auto; padding: 2rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1.2rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .6rem; }
.kind { margin: 0; color: var(--soft); }
section { margin: 0 0 2rem; }
.verdict { padding: 1rem 1.2rem; border-radius: .5rem; border-left: .4rem solid; }
.verdict p { margin: 0; overflow-wrap: anywhere; }
.good { background: var(--good-tint); border-color: var(--good); }
.good h2 { color: var(--good); }
.bad { background: var(--bad-tint); border-color: var(--bad); }
.bad h2 { color: var(--bad); }
video { display: block; width: 100%; max-height: 70vh; background: #000; border-radius: .5rem; margin-bottom: .8rem; }
table { width: 100%; border-collapse: collapse; font-size: .95rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem .4rem 0; border-top: 1px solid var(--line);
  overflow-wrap: break-word; }
td code { overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--soft); }
.facts th { width: 13rem; overflow-wrap: normal; }
.list tr:first-child th { border-top: 0; }
.list td:last-child { width: 15rem; }
.time { min-width: 9rem; }
.ok td:first-child { color: var(--good); }
.no td { color: var(--bad); }
.text { white-space: pre-wrap; }
code { font: .85em/1.4 ui-monospace, monospace; background: var(--tint); padding: .05em .3em; border-radius: .25em; }
ul { padding-left: 1.2rem; margin: 0; }
li { margin-bottom: .4rem; }
footer { color: var(--soft); font-size: .9rem; border-top: 1px solid var(--line); padding-top: .8rem; }
@media (max-width: 36rem) { .facts th, .facts td { display: block; width: auto; border-top: 0; padding: 0 0 .1rem; }
  .facts td { padding-bottom: .6rem; } .list td:last-child, .list th:last-child { display: none; }
  .time { min-width: 6rem; } }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --tint: #fff; --good: #0b6b3a;
  --good-tint: #fff; --bad: #a31515; --bad-tint: #fff; } body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; } video { display: none; } section, tr { break-inside: avoid; } }
"""
