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
    root.querySelectorAll('img.sl-field').forEach(function (image, i) {
      if (image.title) return;
      image.tabIndex = i ? -1 : 0;  // all pictures move together: one stop for the Tab key
      image.draggable = false;
      image.setAttribute('data-lm-suppress-shortcuts', 'true');
      image.title = 'Zoom with + and − or the wheel (after a click, or with Ctrl); arrow keys or '
        + 'dragging move; 0 shows the whole';
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
      var at = along ? cut.dataset.row : cut.dataset.column, away = at < 0 || at > 1;
      line.classList.toggle('sl-away', away);
      var text = away ? (along ? (at < 0 ? '▼ ' : '▲ ') : (at < 0 ? '◂ ' : '▸ '))
        + cut.dataset.place : '';
      if (line.textContent !== text) line.textContent = text;  // the observer sees each change
      if (away) {  // not in the window: an arrow at the edge beyond which it lies
        style.width = style.height = '';
        style.left = image.offsetLeft + (along || at < 0 ? 0 : image.offsetWidth - line.offsetWidth)
          + 'px';
        style.top = image.offsetTop + (along && at < 0 ? image.offsetHeight - line.offsetHeight : 0)
          + 'px';
        return;
      }
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
    send(within.querySelector(':scope > .sl-picked input'), text);
  }
  function send(input, text) {
    input.value = text + ' #' + (++picks);
    input.dispatchEvent(new Event('input', {bubbles: true}));
    input.dispatchEvent(new Event('change', {bubbles: true}));
  }
  // The window that all pictures show: first row, end, first column, end. Until Python has drawn
  // what was asked last, that counts; what is asked never depends on what is on its way.
  var asked = null, drag = null, dragged = false, turned = 0;
  function numbers(text) { return text.split(' ').map(Number); }
  function windowNow() {
    var place = root.querySelector('.sl-window');
    if (asked && +place.dataset.heard >= asked.pick) asked = null;
    return asked ? asked.cells : numbers(place.dataset.window);
  }
  function show(cells) {
    var now = windowNow(), place = root.querySelector('.sl-window');
    var whole = numbers(place.dataset.whole);
    [0, 2].forEach(function (i) {  // as large as before, within the field
      var size = Math.round(cells[i + 1] - cells[i]), first = Math.round(cells[i]);
      cells[i] = Math.min(Math.max(first, 0), whole[i / 2] - size);
      cells[i + 1] = cells[i] + size;
    });
    if (cells.join() === now.join()) return false;
    send(root.querySelector('.sl-zoomed input'), cells.join(' '));
    asked = {cells: cells, pick: picks};
    return true;
  }
  function zoom(closer, up, right) {  // about a place of the window, from 0 to 1
    var now = windowNow(), whole = numbers(root.querySelector('.sl-window').dataset.whole);
    var longer = whole[0] >= whole[1] ? 0 : 1, size = now[2 * longer + 1] - now[2 * longer];
    var next = Math.round(size * (closer ? 0.8 : 1.25));
    if (next === size) next += closer ? -1 : 1;
    next = Math.min(Math.max(next, Math.min(4, whole[longer])), whole[longer]);
    var cells = [];
    [up, right].forEach(function (share, i) {
      var n = Math.max(1, Math.round(next * whole[i] / whole[longer]));
      var first = now[2 * i] + share * (now[2 * i + 1] - now[2 * i] - n);
      cells.push(first, first + n);
    });
    return show(cells);
  }
  function move(from, rows, columns) {
    return show([from[0] + rows, from[1] + rows, from[2] + columns, from[3] + columns]);
  }
  root.addEventListener('keydown', function (event) {
    if (!event.target.matches('img.sl-field') || event.ctrlKey || event.metaKey || event.altKey)
      return;
    var now = windowNow(), whole = numbers(root.querySelector('.sl-window').dataset.whole);
    var rows = Math.ceil((now[1] - now[0]) / 8), columns = Math.ceil((now[3] - now[2]) / 8);
    var act = {
      '+': function () { zoom(true, 0.5, 0.5); }, '=': function () { zoom(true, 0.5, 0.5); },
      '-': function () { zoom(false, 0.5, 0.5); }, '_': function () { zoom(false, 0.5, 0.5); },
      ArrowUp: function () { move(now, rows, 0); }, ArrowDown: function () { move(now, -rows, 0); },
      ArrowRight: function () { move(now, 0, columns); },
      ArrowLeft: function () { move(now, 0, -columns); },
      '0': function () { show([0, whole[0], 0, whole[1]]); },
      Home: function () { show([0, whole[0], 0, whole[1]]); }
    }[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });
  root.addEventListener('wheel', function (event) {
    var image = event.target;
    if (!image.matches('img.sl-field') || !event.deltaY) return;
    if (!event.ctrlKey && document.activeElement !== image) return;  // the page scrolls
    turned += event.deltaY;
    if (Math.abs(turned) < 40) { event.preventDefault(); return; }
    var box = image.getBoundingClientRect(), closer = turned < 0;
    turned = 0;
    if (zoom(closer, (box.bottom - event.clientY) / box.height,
             (event.clientX - box.left) / box.width) || event.ctrlKey) event.preventDefault();
  }, {passive: false});
  root.addEventListener('pointerdown', function (event) {
    if (!event.target.matches('img.sl-field') || event.button) return;
    drag = {image: event.target, x: event.clientX, y: event.clientY, from: windowNow()};
    dragged = false;
  });
  root.addEventListener('pointermove', function (event) {
    if (!drag || !(event.buttons & 1)) { drag = null; return; }
    var x = event.clientX - drag.x, y = event.clientY - drag.y;
    if (!dragged && Math.hypot(x, y) < 5) return;
    dragged = true;
    var from = drag.from;
    move(from, y / drag.image.offsetHeight * (from[1] - from[0]),
         -x / drag.image.offsetWidth * (from[3] - from[2]));
  });
  root.addEventListener('pointerup', function () { drag = null; });
  root.addEventListener('input', function (event) {
    if (!event.target.matches('.sl-wipe')) return;
    root.querySelector('.sl-pair').style.setProperty('--wipe', event.target.value + '%');
  });
  root.addEventListener('click', function (event) {
    var image = event.target.closest('.sl-one img.sl-field');
    if (image && dragged) { dragged = false; return; }
    if (image) {
      var shown = windowNow();
      var box = image.getBoundingClientRect();
      var row = (box.bottom - event.clientY) / box.height * image.naturalHeight;
      var column = (event.clientX - box.left) / box.width * image.naturalWidth;
      pick(image, shown[0] + Math.min(Math.max(Math.floor(row), 0), image.naturalHeight - 1) + ' '
        + (shown[2] + Math.min(Math.max(Math.floor(column), 0), image.naturalWidth - 1)));
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
