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
      var column = image.closest('.sl-column'), panel = column.querySelector('.sl-panel');
      image.alt = panel
        ? (image.matches('.sl-difference') ? 'difference from the truth: ' : '') + panel.textContent
        : column.querySelector('button').textContent + ': ' + ['truth', 'decoded', 'difference'][
          Array.prototype.indexOf.call(column.querySelectorAll('img.sl-field'), image)];
    });
    // Where the cut goes through each picture.
    var cut = root.querySelector('.sl-cut');
    root.querySelectorAll('.sl-one img.sl-field').forEach(function (image) {
      var line = image.parentNode.querySelector('.sl-cut-line');
      if (!cut) { if (line) line.remove(); return; }
      if (!line) {
        line = document.createElement('i');
        line.className = 'sl-cut-line';
        image.parentNode.appendChild(line);
      }
      var along = cut.dataset.along === 'row', style = line.style;
      style.left = image.offsetLeft + (along ? 0 : cut.dataset.column * image.offsetWidth) + 'px';
      style.top = image.offsetTop + (along ? (1 - cut.dataset.row) * image.offsetHeight : 0) + 'px';
      style.width = along ? image.offsetWidth + 'px' : '0';
      style.height = along ? '0' : image.offsetHeight + 'px';
    });
    // The chosen point lies over the lines, so that these keep the focus when it moves.
    root.querySelectorAll('.sl-rate-stack').forEach(function (stack) {
      var panel = stack.querySelector('.sl-rate-panel');
      var mark = stack.querySelector('.sl-rate-mark svg');
      if (!panel || !mark) return;
      panel.setAttribute('aria-valuemax', mark.dataset.last);
      panel.setAttribute('aria-valuenow', mark.dataset.setting);
      panel.setAttribute('aria-valuetext', mark.dataset.text);
    });
  }
  // HTML from Python has no events of its own: what is picked goes through a hidden text widget.
  var picks = 0;
  function pick(panel, text) {
    var within = panel.closest('.sl-rate-stack') || panel.closest('.sl-one');
    var input = within.querySelector(':scope > .sl-picked input');
    input.value = text + ' #' + (++picks);
    input.dispatchEvent(new Event('input', {bubbles: true}));
    input.dispatchEvent(new Event('change', {bubbles: true}));
  }
  root.addEventListener('input', function (event) {
    if (!event.target.matches('.sl-wipe')) return;
    root.querySelector('.sl-pair').style.setProperty('--wipe', event.target.value + '%');
  });
  root.addEventListener('click', function (event) {
    var image = event.target.closest('.sl-one img.sl-field');
    if (image) {
      var box = image.getBoundingClientRect();
      var row = (box.bottom - event.clientY) / box.height * image.naturalHeight;
      var column = (event.clientX - box.left) / box.width * image.naturalWidth;
      pick(image, Math.min(Math.max(Math.floor(row), 0), image.naturalHeight - 1) + ' '
        + Math.min(Math.max(Math.floor(column), 0), image.naturalWidth - 1));
      return;
    }
    var panel = event.target.closest('.sl-rate-panel');
    if (!panel || !event.target.closest('svg[role=img]')) return;
    var best = null, least = 24;  // pixels: a click that is near to no point means none
    panel.querySelectorAll('circle').forEach(function (circle) {
      var box = circle.getBoundingClientRect();
      var distance = Math.hypot(event.clientX - box.left - box.width / 2,
                                event.clientY - box.top - box.height / 2);
      if (distance < least) { best = circle; least = distance; }
    });
    if (best) pick(panel, best.dataset.point);
  });
  root.addEventListener('keydown', function (event) {
    if (!event.target.matches('.sl-rate-panel')) return;
    if (!/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    pick(event.target, event.key);
  });
  name();
  new MutationObserver(name).observe(root, {childList: true, subtree: true,
    attributes: true, attributeFilter: ['class']});
})(this.closest('.surrlab'))
