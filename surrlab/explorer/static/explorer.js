// Names for screen readers: slider handles have a role but no name, Play's buttons have icons only, and
// `widgets.Image` has no alternative text (with a tooltip ipywidgets 8.1 fails to show the image). Set as
// an image's onload, the only script that a browser runs in HTML set from Python; the observer names
// what appears later.
(function (root) {
  function name() {
    root.querySelectorAll('.widget-slider').forEach(function (slider) {
      var handle = slider.querySelector('.noUi-handle');
      var label = slider.querySelector('.widget-label');
      if (handle && label) handle.setAttribute('aria-label', label.textContent);
    });
    root.querySelectorAll('.widget-toggle-buttons').forEach(function (choice) {
      choice.setAttribute('role', 'group');
      choice.setAttribute('aria-label', choice.querySelector('.widget-label').textContent);
      choice.querySelectorAll('button').forEach(function (button) {
        button.setAttribute('aria-pressed', button.classList.contains('mod-active'));
      });
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
  new MutationObserver(name).observe(root, {childList: true, subtree: true,
    attributes: true, attributeFilter: ['class']});
})(this.closest('.surrlab'))
