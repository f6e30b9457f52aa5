"""Look of the explorer's page: colours come from the theme, so light and dark both read well."""

STYLE = """
.surrlab { color: var(--jp-widgets-color, currentColor); }
.surrlab p { margin: 0; line-height: 1.4; }
.surrlab .widget-html, .surrlab .widget-html-content { overflow: visible; }
.surrlab .sl-head { font-size: 1.15em; font-weight: 600; }
.surrlab .sl-notes { margin: 2px 0; padding-left: 1.2em; opacity: .85; }
.surrlab .sl-wrap { display: flex; flex-flow: row wrap; gap: 6px 18px; align-items: flex-start;
  overflow: visible; }
.surrlab .widget-toggle-buttons { flex-flow: row nowrap; align-items: baseline; }
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
.surrlab .sl-ladder { position: relative; height: 46px; margin: -4px 18px 0 98px; font-size: 11px; }
.surrlab .sl-ladder span { position: absolute; transform: translateX(-50%); text-align: center;
  line-height: 1.2; white-space: nowrap; opacity: .75; }
.surrlab .sl-ladder i { display: block; font-style: normal; }
.surrlab .sl-ladder .sl-on { opacity: 1; font-weight: 700; }
.surrlab .sl-ladder .sl-mark { opacity: 1; }
.surrlab .sl-ladder b { display: block; color: #d97706; }
.surrlab .sl-ladder b::before { content: "▲ "; }
.surrlab .sl-ladder b.sl-own { padding-top: 13px; }
.surrlab .sl-charts .widget-html-content { display: flex; flex-wrap: wrap; gap: 6px 16px; }
.surrlab .sl-charts { flex: 1 1 370px; max-width: 410px; }
.surrlab .sl-judged { flex: 1 1 500px; }
.surrlab .sl-curve { flex: 0 0 510px; }
.surrlab .sl-list { flex: 1 1 230px; }
.surrlab .sl-chart { margin: 0; font-size: 12px; }
.surrlab .sl-chart text { font-size: 11px; fill: currentColor; }
.surrlab .sl-chart .sl-title { font-size: 13px; font-weight: 600; }
.surrlab .sl-chart figcaption { display: flex; flex-wrap: wrap; gap: 0 14px; padding-left: 58px;
  line-height: 1.5; }
.surrlab .sl-chart figcaption svg { margin-right: 4px; vertical-align: middle; }
.surrlab .sl-numbers { margin: 0; display: grid; gap: 4px 18px;
  grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
.surrlab .sl-numbers dt { float: none; width: auto; display: block; font-size: 12px; opacity: .8;
  text-decoration: underline dotted; line-height: 1.3; font-weight: 600; }
.surrlab .sl-numbers dd { float: none; width: auto; margin: 0; line-height: 1.3;
  font-variant-numeric: tabular-nums; }
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

# A slider's handle has a role but no name, Play's buttons have icons only, and `widgets.Image` has
# no alternative text (with a tooltip ipywidgets 8.1 fails to show it at all): a screen reader would
# say "slider, 13". An image's onload is the one script that HTML set from Python still runs; what
# is shown later is named when it comes.
_NAMES = """
(function (root) {
  function name() {
    root.querySelectorAll('.widget-slider').forEach(function (slider) {
      var handle = slider.querySelector('.noUi-handle');
      var label = slider.querySelector('.widget-label');
      if (handle && label) handle.setAttribute('aria-label', label.textContent);
    });
    root.querySelectorAll('.widget-play').forEach(function (play) {
      ['Play or pause', 'Stop and go back to the start', 'Repeat'].forEach(function (text, i) {
        var button = play.querySelectorAll('button')[i];
        if (button) { button.setAttribute('aria-label', text); button.title = text; }
      });
    });
    root.querySelectorAll('img.sl-field').forEach(function (image) {
      var panel = image.closest('.sl-column').querySelector('.sl-panel');
      image.alt = (image.matches('.sl-difference') ? 'difference from the truth: ' : '')
        + panel.textContent;
    });
  }
  name();
  new MutationObserver(name).observe(root, {childList: true, subtree: true});
})(this.closest('.surrlab'))
"""
_PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
SCRIPT = f'<img alt="" width="0" height="0" src="{_PIXEL}" onload="{_NAMES}">'
