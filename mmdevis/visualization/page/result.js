'use strict';
(() => {
  const byId = (id) => document.getElementById(id);
  const frames = JSON.parse(byId('frames').textContent);
  const result = JSON.parse(byId('result').textContent);
  const count = result.numFrames;
  const groups = { found: result.tracks, truth: result.truth || [] };
  const views = Object.keys(groups)
    .filter((kind) => kind === 'found' || result.truth)
    .map((kind) => ({ kind, canvas: byId(kind), items: groups[kind] }));
  const rows = [];
  // `only` is the isolated track: { kind, row }, or null.
  const state = { frame: 0, playing: false, only: null };

  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children); // texts stay texts, whatever a class is called
    return node;
  };
  const svg = (tag, attributes) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  };
  const plural = (number, word) => `${number} ${word}${number === 1 ? '' : 's'}`;
  const title = (kind, item) => `${kind === 'found' ? 'track' : 'object'} ${item.number}, ${item.name}`;

  // ---------------------------------------------------------------- pictures
  const cache = new Map();
  const CACHED = 64;

  function picture(frame) {
    let image = cache.get(frame);
    if (image) {
      cache.delete(frame);
    } else {
      image = new Image();
      image.onload = () => frame === state.frame && draw();
      image.src = frames[frame];
    }
    cache.set(frame, image); // the newest is last
    if (cache.size > CACHED) cache.delete(cache.keys().next().value);
    return image;
  }

  function path(item, frame) {
    const outlines = item.shapes[frame];
    if (!outlines) return null;
    const shape = new Path2D();
    for (const points of outlines) {
      shape.moveTo(points[0], points[1]);
      for (let i = 2; i < points.length; i += 2) shape.lineTo(points[i], points[i + 1]);
      shape.closePath();
    }
    return shape;
  }

  function box(item, frame) {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const points of item.shapes[frame]) {
      for (let i = 0; i < points.length; i += 2) {
        left = Math.min(left, points[i]);
        right = Math.max(right, points[i]);
        top = Math.min(top, points[i + 1]);
        bottom = Math.max(bottom, points[i + 1]);
      }
    }
    return { left, top, width: right - left, height: bottom - top };
  }

  function textColour(colour) {
    const [red, green, blue] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    return 0.299 * red + 0.587 * green + 0.114 * blue > 140 ? '#000' : '#fff';
  }

  // Row of the isolated track in a view; -1 where it has none; null when all are shown.
  function isolated(kind) {
    if (!state.only) return null;
    if (state.only.kind === kind) return state.only.row;
    const { match } = groups[state.only.kind][state.only.row];
    return match ? match.row : -1;
  }

  function shown(view) {
    const only = isolated(view.kind);
    return view.items.filter((item, row) => (only === null || row === only) && item.shapes[state.frame]);
  }

  function drawView(view) {
    const image = picture(state.frame);
    if (!image.complete || !image.naturalWidth) return false;
    const { canvas } = view;
    const density = window.devicePixelRatio || 1;
    const width = Math.max(1, Math.round(canvas.clientWidth * density));
    const height = Math.max(1, Math.round((width * result.height) / result.width));
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const context = canvas.getContext('2d');
    const scale = width / result.width;
    const items = shown(view);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.imageSmoothingQuality = 'high';
    context.drawImage(image, 0, 0, width, height);
    if (state.only) {
      context.fillStyle = 'rgb(244 246 249 / .72)';
      context.fillRect(0, 0, width, height);
    }
    for (const item of items) drawMask(context, item, image, scale, density);
    const boxes = items.map((item) => box(item, state.frame));
    if (byId('show-boxes').checked) {
      items.forEach((item, i) => drawBox(context, item, boxes[i], scale, density));
    }
    if (byId('show-names').checked) {
      const taken = [];
      items.forEach((item, i) => drawName(context, item, boxes[i], scale, density, taken));
    }
    const names = items.map((item) => title(view.kind, item));
    canvas.setAttribute('aria-label', `Frame ${state.frame + 1}: ${names.join('; ') || 'nothing shown'}`);
    canvas.dataset.frame = state.frame;
    return true;
  }

  function drawMask(context, item, image, scale, density) {
    const shape = path(item, state.frame);
    context.save();
    context.setTransform(scale, 0, 0, scale, scale / 2, scale / 2); // points are centres of pixels
    if (state.only) {
      context.save();
      context.clip(shape, 'evenodd');
      context.drawImage(image, -0.5, -0.5, result.width, result.height);
      context.restore();
    }
    if (byId('show-masks').checked) {
      context.globalAlpha = state.only ? 0.25 : 0.42;
      context.fillStyle = item.colour;
      context.fill(shape, 'evenodd');
      context.globalAlpha = 1;
    }
    context.lineJoin = 'round';
    context.lineWidth = (3.6 * density) / scale;
    context.strokeStyle = 'rgb(255 255 255 / .75)';
    context.stroke(shape);
    context.lineWidth = (2 * density) / scale;
    context.strokeStyle = item.colour;
    context.stroke(shape);
    context.restore();
  }

  function drawBox(context, item, { left, top, width, height }, scale, density) {
    context.lineWidth = 1.5 * density;
    context.strokeStyle = item.colour;
    context.strokeRect(left * scale, top * scale, (width + 1) * scale, (height + 1) * scale);
  }

  function drawName(context, item, area, scale, density, taken) {
    const text = `${item.number} ${item.name}`;
    context.font = `600 ${12 * density}px system-ui, "DejaVu Sans", sans-serif`;
    const width = context.measureText(text).width + 10 * density;
    const height = 19 * density;
    const x = Math.max(0, Math.min(area.left * scale, context.canvas.width - width));
    let y = Math.max(0, area.top * scale - height - 3 * density);
    const covers = (other) => x < other.x + other.width && other.x < x + width && Math.abs(y - other.y) < height;
    while (taken.some(covers) && y + 2 * height < context.canvas.height) y += height;
    taken.push({ x, y, width });
    context.fillStyle = item.colour;
    context.beginPath();
    context.roundRect(x, y, width, height, 4 * density);
    context.fill();
    context.fillStyle = textColour(item.colour);
    context.textBaseline = 'middle';
    context.fillText(text, x + 5 * density, y + height / 2 + density / 2);
  }

  function draw() {
    return views.map(drawView).every(Boolean);
  }

  // On another screen only the density changes: no size does, so no resize event has to come.
  function followDensity() {
    const same = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    const changed = () => { draw(); followDensity(); };
    same.addEventListener('change', changed, { once: true });
  }

  // ---------------------------------------------------------------- state
  function seek(frame) {
    state.frame = Math.max(0, Math.min(count - 1, frame));
    const seconds = (state.frame / result.fps).toFixed(2);
    const position = `Frame ${state.frame + 1} of ${count}`;
    byId('position').textContent = `${position} · ${seconds} s`;
    byId('scrub').value = state.frame;
    byId('scrub').setAttribute('aria-valuetext', position);
    byId('timeline').style.setProperty('--at', (state.frame + 0.5) / count);
    document.body.dataset.frame = state.frame;
    for (const { button, item } of rows) button.classList.toggle('absent', !item.shapes[state.frame]);
    draw();
    for (let ahead = 1; ahead <= 8 && state.frame + ahead < count; ahead += 1) picture(state.frame + ahead);
    picture(state.frame); // counts as the newest again
  }

  function isolate(kind, row) {
    const same = state.only && state.only.kind === kind && state.only.row === row;
    state.only = same || kind === null ? null : { kind, row };
    document.body.dataset.only = state.only ? `${kind}-${row}` : '';
    byId('all').hidden = !state.only;
    for (const entry of rows) {
      const mine = Boolean(state.only) && entry.kind === kind && entry.row === row;
      entry.button.setAttribute('aria-pressed', mine);
      entry.button.classList.toggle('dimmed', Boolean(state.only) && isolated(entry.kind) !== entry.row);
    }
    if (!state.only) {
      byId('status').textContent = 'All tracks are shown.';
      draw();
      return;
    }
    const item = groups[kind][row];
    const seen = Object.keys(item.shapes).map(Number);
    byId('status').textContent = `Only ${title(kind, item)}, is shown. It is in ${seen.length} of ${plural(count, 'frame')}.`;
    // An isolated track that is not in this frame would leave an empty picture.
    if (item.shapes[state.frame]) draw();
    else seek(seen.find((frame) => frame > state.frame) ?? seen[0]);
  }

  let started = 0;
  let startFrame = 0;

  function play(on) {
    state.playing = on && count > 1;
    byId('play').setAttribute('aria-pressed', state.playing);
    byId('play').setAttribute('aria-label', state.playing ? 'Stop' : 'Play');
    if (!state.playing) return;
    if (state.frame === count - 1) seek(0);
    restart();
    requestAnimationFrame(tick);
  }

  function restart() {
    started = performance.now();
    startFrame = state.frame;
  }

  function tick(now) {
    if (!state.playing) return;
    const passed = ((now - started) / 1000) * result.fps * Number(byId('speed').value);
    const due = Math.min(count - 1, startFrame + Math.max(0, Math.floor(passed)));
    if (due !== state.frame) seek(due);
    if (state.frame === count - 1) play(false);
    else requestAnimationFrame(tick);
  }

  // ---------------------------------------------------------------- timeline
  function runs(item) {
    const seen = Object.keys(item.shapes).map(Number).sort((a, b) => a - b);
    const found = [];
    for (const frame of seen) {
      const last = found[found.length - 1];
      if (last && last.end === frame) last.end += 1;
      else found.push({ start: frame, end: frame + 1 });
    }
    return found;
  }

  function bar(item, scored) {
    const drawing = svg('svg', { viewBox: `0 0 ${count} 24`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
    for (const { start, end } of runs(item)) {
      drawing.append(svg('rect', { x: start, y: 0, width: end - start, height: 24, fill: item.colour, 'fill-opacity': scored ? 0.28 : 0.75 }));
      if (!scored) continue;
      let outline = `M${start} 24`;
      for (let frame = start; frame < end; frame += 1) {
        const y = (24 * (1 - item.scores[frame])).toFixed(2);
        outline += `L${frame} ${y}L${frame + 1} ${y}`;
      }
      drawing.append(svg('path', { d: `${outline}L${end} 24Z`, fill: item.colour }));
    }
    return drawing;
  }

  function facts(kind, item) {
    const parts = kind === 'found' ? [item.score.toFixed(2)] : [];
    if (item.match) {
      const other = groups[kind === 'found' ? 'truth' : 'found'][item.match.row];
      if (kind === 'truth') parts.push(`as ${other.number}`);
      parts.push(`IoU ${item.match.iou.toFixed(2)}`);
      if (other.name !== item.name && kind === 'truth') parts.push(`(${other.name})`);
    } else if (result.truth) {
      parts.push(kind === 'found' ? 'no object' : 'missed');
    }
    return parts.join(' · ');
  }

  function addRow(kind, item, row) {
    const swatch = element('span', { class: 'swatch' });
    swatch.style.background = item.colour;
    const label = element(
      'span', { class: 'label' }, swatch,
      element('span', { class: 'number' }, String(item.number)),
      element('span', { class: 'name' }, item.name),
      element('span', { class: 'facts' }, facts(kind, item)),
    );
    const where = runs(item).map(({ start, end }) => (end - start > 1 ? `${start + 1}–${end}` : `${end}`));
    const button = element(
      'button',
      { type: 'button', class: 'row', 'aria-pressed': 'false', 'data-kind': kind, 'data-row': row, title: `${item.name}: frames ${where.join(', ')}` },
      label, element('span', { class: 'bar' }, bar(item, kind === 'found')),
    );
    button.addEventListener('click', () => isolate(kind, row));
    byId('rows').append(button);
    rows.push({ kind, row, item, button });
  }

  function build() {
    const size = `${result.width} × ${result.height}`;
    byId('summary').textContent = `${plural(result.tracks.length, 'track')} · ${plural(count, 'frame')} · ${result.fps} fps · ${size}`;
    byId('truth-figure').hidden = !result.truth;
    byId('pictures').style.setProperty('--wide', `${Math.round((64 * 9 * result.width) / result.height)}px`);
    byId('scrub').max = count - 1;
    byId('timeline').style.setProperty('--frames', count);
    const missed = groups.truth.filter((item) => !item.match).length;
    byId('rows').append(element('h2', {}, result.truth ? 'Found' : 'Tracks: the height is the score in each frame'));
    if (!result.tracks.length) byId('rows').append(element('p', {}, `No track scores ${result.scoreThr} or more.`));
    result.tracks.forEach((item, row) => addRow('found', item, row));
    if (result.truth) {
      byId('rows').append(element('h2', {}, `Ground truth: ${plural(groups.truth.length, 'object')}, ${missed} missed`));
      groups.truth.forEach((item, row) => addRow('truth', item, row));
    }
  }

  // ---------------------------------------------------------------- input
  function clicked(view, event) {
    const area = view.canvas.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * result.width - 0.5;
    const y = ((event.clientY - area.top) / area.height) * result.height - 0.5;
    const context = view.canvas.getContext('2d');
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    const hits = shown(view).filter((item) => context.isPointInPath(path(item, state.frame), x, y, 'evenodd'));
    context.restore();
    const size = (item) => box(item, state.frame).width * box(item, state.frame).height;
    hits.sort((a, b) => size(a) - size(b)); // a small one may lie before a large one
    if (hits.length) isolate(view.kind, view.items.indexOf(hits[0]));
    else isolate(null);
  }

  function moveFocus(step) {
    const at = rows.findIndex(({ button }) => button === document.activeElement);
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + step))];
    if (next) next.button.focus();
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inside = event.target.closest('button, input, select, summary');
    const tag = inside ? inside.tagName : '';
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const actions = {
      k: () => play(!state.playing),
      Escape: () => isolate(null),
      ArrowLeft: () => seek(state.frame - 1),
      ArrowRight: () => seek(state.frame + 1),
      ArrowUp: () => moveFocus(-1),
      ArrowDown: () => moveFocus(1),
      Home: () => seek(0),
      End: () => seek(count - 1),
      ' ': () => play(!state.playing),
    };
    // What the focused part of the page does with a key goes first.
    if (tag && key === ' ') return;
    if (tag === 'SELECT' || (inside === byId('scrub') && /^Arrow(Up|Down)$/.test(key))) return;
    if (!(key in actions)) return;
    event.preventDefault();
    actions[key]();
    restart();
  }

  byId('scrub').addEventListener('input', () => {
    seek(Number(byId('scrub').value));
    restart();
  });
  byId('play').addEventListener('click', () => play(!state.playing));
  byId('back').addEventListener('click', () => { play(false); seek(state.frame - 1); });
  byId('forward').addEventListener('click', () => { play(false); seek(state.frame + 1); });
  byId('all').addEventListener('click', () => isolate(null));
  byId('speed').addEventListener('change', restart);
  for (const name of ['masks', 'boxes', 'names']) byId(`show-${name}`).addEventListener('change', draw);
  document.addEventListener('keydown', pressed);
  for (const view of views) view.canvas.addEventListener('click', (event) => clicked(view, event));
  const resized = new ResizeObserver(draw);
  for (const view of views) resized.observe(view.canvas.parentElement);
  followDensity();

  build();
  seek(0);
})();
