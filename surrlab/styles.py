"""Look of the explorer's page: colours come from the theme, so light and dark both read well."""

STYLE = """
.surrlab { color: var(--jp-widgets-color, currentColor); }
.surrlab p { margin: 0; line-height: 1.4; }
.surrlab .widget-html, .surrlab .widget-html-content { overflow: visible; }
.surrlab .sl-head { font-size: 1.15em; font-weight: 600; }
.surrlab .sl-notes { margin: 2px 0; padding-left: 1.2em; opacity: .85; }
.surrlab .sl-wrap { display: flex; flex-flow: row wrap; gap: 6px 22px; align-items: flex-start;
  overflow: visible; }
.surrlab .sl-field img, .surrlab img.sl-field { image-rendering: pixelated; object-fit: fill; }
.surrlab .sl-panel { text-align: center; font-weight: 600; white-space: normal; }
.surrlab .sl-bar { margin: 4px 4px 0; min-width: 110px; }
.surrlab .sl-bar > div { height: 12px; border: 1px solid rgba(128,128,128,.6); }
.surrlab .sl-bar p { display: flex; justify-content: space-between; font-size: 12px; }
.surrlab .sl-bar p + p { justify-content: center; }
.surrlab .sl-headline p { font-size: 1.15em; font-weight: 600; white-space: normal; }
.surrlab .sl-readout { min-width: 320px; }
.surrlab .sl-readout p { white-space: normal; }
.surrlab .sl-readout b { font-size: 1.25em; }
.surrlab .sl-slider { overflow: visible; }
.surrlab .sl-ladder { position: relative; height: 34px; margin: -4px 18px 0 98px; font-size: 11px; }
.surrlab .sl-ladder span { position: absolute; transform: translateX(-50%); text-align: center;
  line-height: 1.2; white-space: nowrap; opacity: .75; }
.surrlab .sl-ladder i { display: block; font-style: normal; }
.surrlab .sl-ladder .sl-on { opacity: 1; font-weight: 700; }
.surrlab .sl-ladder .sl-mark { opacity: 1; }
.surrlab .sl-ladder b { display: block; color: #d97706; }
.surrlab .sl-ladder b::before { content: "▲ "; }
.surrlab .sl-charts .widget-html-content { display: flex; flex-wrap: wrap; gap: 6px 16px; }
.surrlab .sl-chart { margin: 0; font-size: 12px; }
.surrlab .sl-chart text { font-size: 11px; fill: currentColor; }
.surrlab .sl-chart .sl-title { font-size: 13px; font-weight: 600; }
.surrlab .sl-chart figcaption { display: flex; flex-wrap: wrap; gap: 0 14px; padding-left: 58px; }
.surrlab .sl-chart figcaption svg { margin-right: 4px; vertical-align: middle; }
.surrlab .sl-numbers { margin: 0; display: grid; gap: 4px 18px;
  grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); max-width: 880px; }
.surrlab .sl-numbers dt { font-size: 12px; opacity: .8; text-decoration: underline dotted; }
.surrlab .sl-numbers dd { margin: 0; font-variant-numeric: tabular-nums; }
.surrlab .sl-verdicts { list-style: none; margin: 0; padding: 0; max-width: 520px; }
.surrlab .sl-verdicts li { display: flex; gap: 10px; margin-bottom: 10px; }
.surrlab .sl-verdicts p { white-space: normal; line-height: 1.35; }
.surrlab .sl-verdicts svg { flex: none; }
.surrlab .sl-trouble { border-left: 4px solid #d6453d; padding: 4px 10px; white-space: normal; }
.surrlab .sl-copy { font: inherit; color: inherit; background: transparent; cursor: pointer;
  border: 1px solid rgba(128,128,128,.7); border-radius: 3px; padding: 3px 10px; }
.surrlab .sl-call { display: inline-block; vertical-align: top; margin: 0 0 0 8px; font-size: 12px;
  white-space: pre-wrap; color: inherit; background: transparent; }
.surrlab :focus-visible { outline: 2px solid #4a90d9; outline-offset: 2px; }
"""

# A slider's handle has a role but no name, and its label is tied to nothing: a screen reader would
# say "slider, 13". An image's onload is the one script that HTML set from Python still runs.
_NAME_HANDLES = """
(function name(tries) {
  document.querySelectorAll('.surrlab .widget-slider').forEach(function (slider) {
    var handle = slider.querySelector('.noUi-handle'), label = slider.querySelector('.widget-label');
    if (handle && label) handle.setAttribute('aria-label', label.textContent + ': ' + label.title);
  });
  if (tries) setTimeout(name, 500, tries - 1);
})(8)
"""
_PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
SCRIPT = f'<img alt="" width="0" height="0" src="{_PIXEL}" onload="{_NAME_HANDLES}">'
