/** The page's only style sheet. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ink: light-dark(#1c2330, #dfe4ee); --soft: light-dark(#5a6475, #98a2b5);
  --ground: light-dark(#ffffff, #12151c); --raised: light-dark(#f5f7fa, #1a1f29); --line: light-dark(#e1e6ee, #2a3140);
  --accent: light-dark(#3a53d0, #8da2ff);
  --get: light-dark(#176b41, #6fd3a0); --post: light-dark(#2a4bc4, #93aaff); --put: light-dark(#8a5a00, #e6b860);
  --delete: light-dark(#b0242c, #ff8f94);
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; display: grid;
  grid-template-columns: 19rem minmax(0, 1fr); min-height: 100vh; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
code, pre, textarea, .path { font-family: ui-monospace, "Cascadia Code", Menlo, Consolas, monospace; font-size: .86em; }
pre { background: var(--raised); border: 1px solid var(--line); border-radius: 8px; padding: .75rem .9rem; overflow: auto; margin: .3rem 0 .9rem;
  line-height: 1.5; max-height: 28rem; }
nav { position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 1.1rem 1rem 2rem; background: var(--raised);
  border-right: 1px solid var(--line); font-size: .92rem; }
nav h2 { font-size: .74rem; letter-spacing: .07em; text-transform: uppercase; color: var(--soft); margin: 1.2rem 0 .25rem; }
nav a { display: flex; gap: .55rem; align-items: baseline; padding: .18rem .45rem; border-radius: 6px; color: inherit; }
nav a:hover { background: var(--line); text-decoration: none; }
nav .name { font-weight: 650; font-size: 1.15rem; margin: 0 0 .7rem; }
.method { font: 650 .66rem/1.5 ui-monospace, monospace; flex: none; width: 3.9em; color: var(--soft); }
.GET { color: var(--get); } .POST { color: var(--post); } .PUT { color: var(--put); } .DELETE { color: var(--delete); }
main { padding: 1.6rem 2.4rem 6rem; max-width: 62rem; min-width: 0; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; }
h2.tag { margin: 3rem 0 0; font-size: 1.3rem; }
p { margin: .3rem 0 .8rem; } .soft { color: var(--soft); }
article { border-top: 1px solid var(--line); padding: 1.5rem 0 .8rem; }
article h3 { margin: 0 0 .35rem; font-size: 1.05rem; }
article h4 { margin: .9rem 0 .1rem; font-size: .76rem; letter-spacing: .06em; text-transform: uppercase; color: var(--soft); }
.route { display: flex; gap: .7rem; align-items: baseline; flex-wrap: wrap; }
.route .method { font-size: .8rem; width: auto; }
h4 code { text-transform: none; letter-spacing: 0; font-weight: 400; }
.badge { margin-left: auto; font-size: .75rem; color: var(--soft); border: 1px solid var(--line); border-radius: 99px; padding: 0 .6rem; }
table { border-collapse: collapse; width: 100%; margin: .3rem 0 .9rem; font-size: .92rem; }
td { border-top: 1px solid var(--line); padding: .3rem .9rem .3rem 0; vertical-align: top; }
input, textarea { font: inherit; width: 100%; color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: 6px;
  padding: .35rem .6rem; }
textarea { min-height: 7rem; resize: vertical; font: .86rem/1.5 ui-monospace, "Cascadia Code", Menlo, Consolas, monospace; }
input:focus-visible, textarea:focus-visible, button:focus-visible, a:focus-visible, summary:focus-visible
  { outline: 2px solid var(--accent); outline-offset: 1px; }
button { font: inherit; font-weight: 600; color: var(--ground); background: var(--accent); border: 0; border-radius: 6px; padding: .35rem 1.1rem;
  cursor: pointer; }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--accent); font-weight: 550; }
form { display: grid; gap: .6rem; padding: .8rem 0; } form label { display: grid; gap: .15rem; font-size: .85rem; color: var(--soft); }
form .send { display: flex; gap: 1rem; align-items: center; }
[hidden] { display: none !important; }
@media (max-width: 52rem) { body { display: block; } nav { position: static; height: auto; max-height: 45vh; border-right: 0;
  border-bottom: 1px solid var(--line); } main { padding: 1.2rem 1rem 4rem; } }
`
