'use strict';

// One stream of documents keeps the page up to date. Texts come from clients, whoever
// they are: they become text, never HTML.

const $ = (id) => document.getElementById(id);
const silence = 6000; // ms without a document after which the connection is lost
const history_ = 90; // points of a curve

// --- texts

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const rate = (n) => n === 0 ? '0' : n < 10 ? n.toFixed(n < 0.1 ? 2 : 1) : n < 100000 ? whole.format(n) : short(n);
function short(n) {
  for (const unit of ['', 'k', 'M', 'G', 'T']) {
    if (n < 1000) return (n < 10 && unit ? n.toFixed(1) : whole.format(n)) + unit;
    n /= 1000;
  }
  return whole.format(n) + 'P';
}
const bytes = (n) => {
  for (const unit of ['B', 'KiB', 'MiB', 'GiB']) {
    if (n < 1000) return (n < 10 && unit !== 'B' ? n.toFixed(1) : whole.format(n)) + ' ' + unit;
    n /= 1024;
  }
  return whole.format(n) + ' TiB';
};
const millis = (ms) => ms < 10 ? ms.toFixed(ms < 1 ? 2 : 1) + ' ms' : ms < 1000 ? whole.format(ms) + ' ms' : (ms / 1000).toFixed(1) + ' s';
function span(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' m ' + s % 60 + ' s';
  if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' m';
  return Math.floor(s / 86400) + ' d ' + Math.floor(s % 86400 / 3600) + ' h';
}
const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

// --- elements

function make(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}
// say changes a text if it has to, so that a selection stays.
function say(e, text) {
  if (e.textContent !== text) e.textContent = text;
}
// keep makes a parent have the elements of these things, in their order, and makes those
// anew that are not there. A server that was started again counts from the beginning: keys
// have times in them.
function keep(parent, things, key, create, update) {
  const old = parent.kept || new Map();
  const now = new Map();
  things.forEach((thing, i) => {
    const k = key(thing);
    const e = old.get(k) || create(thing);
    now.set(k, e);
    if (update) update(e, thing);
    if (parent.children[i] !== e) parent.insertBefore(e, parent.children[i] || null);
  });
  for (const [k, e] of old) if (now.get(k) !== e) e.remove();
  parent.kept = now;
}

// --- the totals

const svg = 'http://www.w3.org/2000/svg';
const tiles = [
  { name: 'Sessions', value: (t) => whole.format(t.sessions), curve: (t) => t.sessions,
    more: (t) => [whole.format(t.names) + (t.names === 1 ? ' name' : ' names'), t.ending && t.ending + ' ending'] },
  { name: 'Calls in flight', value: (t) => whole.format(t.inFlight), curve: (t) => t.inFlight,
    more: (t) => [t.waiting === 1 ? '1 waits for a client' : (t.waiting || 'none') + (t.waiting ? ' wait for clients' : ' waits for a client')] },
  { name: 'Calls', unit: '/s', rate: true, value: (t) => rate(t.calls), curve: (t) => t.calls,
    more: (t, d) => [d.counted && rate(t.errors) + ' errors/s'], bad: (t) => t.errors > 0 },
  { name: 'To clients', unit: '/s', rate: true, value: (t) => bytes(t.sent), curve: (t) => t.sent,
    more: (t) => [t.queued ? bytes(t.queued) + ' wait' : 'nothing waits'] },
  { name: 'From clients', unit: '/s', rate: true, value: (t) => bytes(t.received), curve: (t) => t.received,
    more: (t) => [t.memoryLimit && bytes(t.memory) + ' of ' + bytes(t.memoryLimit) + ' held'] },
  { name: 'Round trip', value: (t) => t.trips.sessions ? millis(t.trips.p50) : '–', curve: (t) => t.trips.p50,
    more: (t) => [t.trips.sessions ? 'p99 ' + millis(t.trips.p99) : 'no heartbeat yet'],
    title: (t) => t.trips.sessions ? 'p50 ' + millis(t.trips.p50) + ', p90 ' + millis(t.trips.p90) + ', p99 ' + millis(t.trips.p99) + ', max ' + millis(t.trips.max) : '' },
  { name: 'Connects', unit: '/s', rate: true, value: (t) => rate(t.connects), curve: (t) => t.connects,
    more: (t) => [t.refusals ? rate(t.refusals) + ' refused/s' : rate(t.disconnects) + ' leave/s'],
    title: (t) => rate(t.connects) + ' come, ' + rate(t.disconnects) + ' leave and ' + rate(t.refusals) + ' are refused a second', bad: (t) => t.refusals > 0 },
];
for (const tile of tiles) {
  tile.points = [];
  tile.number = make('strong');
  tile.detail = make('span', 'detail');
  tile.line = document.createElementNS(svg, 'polyline');
  const picture = document.createElementNS(svg, 'svg');
  picture.setAttribute('viewBox', '0 0 ' + (history_ - 1) + ' 20');
  picture.setAttribute('preserveAspectRatio', 'none');
  picture.setAttribute('aria-hidden', 'true');
  picture.append(tile.line);
  tile.element = make('div', 'tile', make('span', 'name', tile.name), tile.number, tile.detail, picture);
  $('tiles').append(tile.element);
}

function note(d) {
  for (const tile of tiles) {
    if (tile.rate && !d.rates) continue;
    tile.points.push(tile.curve(d.totals));
    if (tile.points.length > history_) tile.points.shift();
  }
}

function showTotals(d) {
  for (const tile of tiles) {
    const known = !tile.rate || d.rates;
    say(tile.number, known ? tile.value(d.totals) + (tile.unit || '') : '–');
    say(tile.detail, known ? tile.more(d.totals, d).filter(Boolean).join(' · ') : '');
    if (tile.title) tile.element.title = tile.title(d.totals);
    tile.element.classList.toggle('bad', known && Boolean(tile.bad && tile.bad(d.totals)));
    const top = Math.max(...tile.points, 0) || 1;
    const from = history_ - tile.points.length;
    tile.line.setAttribute('points', tile.points.map((v, i) => (from + i) + ',' + (18 - 17 * v / top).toFixed(1)).join(' '));
  }
}

// --- the sessions

function cell(row, label, className) {
  const td = make('td', className);
  td.setAttribute('role', 'cell');
  td.dataset.label = label;
  row.append(td);
  return td;
}

function chip(text, title, act) {
  const b = make('button', 'chip', text);
  b.type = 'button';
  b.title = title;
  b.addEventListener('click', act);
  return b;
}

function selectorOf(key, value) {
  return key + '=' + (/^[\w.\/-]*$/.test(value) ? value : '"' + value.replace(/["\\]/g, '\\$&') + '"');
}

function createRow(s) {
  const row = make('tr');
  row.setAttribute('role', 'row');
  const client = cell(row, 'Client', 'client');
  const name = make('span', 'title', make('bdi', '', s.name));
  if (s.session) name.title = 'session ' + s.session + '…';
  client.append(name);
  if (s.namespace) {
    client.append(' ', chip(s.namespace, 'show this namespace', () => setFilter('namespace', s.namespace)));
    client.lastChild.classList.add('namespace');
  }
  if (s.subject && s.subject !== s.name) client.append(' ', make('span', 'subject', make('bdi', '', s.subject)));
  if (s.labels) {
    const labels = make('span', 'labels');
    for (const [key, value] of s.labels) {
      labels.append(chip(value === '' ? key : key + '=' + value, 'show those with this label', () => {
        const had = form.elements.labels.value.trim();
        const want = selectorOf(key, value);
        if (!had.split(/\s*,\s*/).includes(want)) setFilter('labels', had ? had + ', ' + want : want);
      }));
    }
    if (s.more) labels.append(make('span', 'subject', '+' + s.more + ' more'));
    client.append(labels);
  }
  cell(row, 'Via', 'via').textContent = s.protocol;
  cell(row, 'Address', 'address').append(make('bdi', '', s.address || '–'));
  row.up = cell(row, 'Up', 'number');
  row.inFlight = cell(row, 'In flight', 'number');
  row.calls = cell(row, 'Calls/s', 'number');
  row.bytes = cell(row, 'Bytes/s', 'number traffic');
  row.trip = cell(row, 'Round trip', 'number');
  row.up.title = 'since ' + new Date(s.since).toLocaleString();
  return row;
}

function updateRow(row, s, d) {
  say(row.up, span(d.time - s.since));
  say(row.inFlight, whole.format(s.inFlight));
  row.inFlight.classList.toggle('on', s.inFlight > 0);
  say(row.calls, d.rates ? rate(s.calls) : '–');
  row.calls.classList.toggle('on', d.rates && s.calls > 0);
  row.calls.title = whole.format(s.total) + ' so far';
  say(row.bytes, d.rates ? '↓ ' + short(s.received) + '  ↑ ' + short(s.sent) : '–');
  row.bytes.classList.toggle('on', d.rates && s.received + s.sent > 0);
  say(row.trip, s.trip ? millis(s.trip) : '–');
}

function showSessions(d) {
  keep($('rows'), d.rows, (s) => s.n + ' ' + s.since, createRow, (row, s) => updateRow(row, s, d));
  const all = d.totals.sessions;
  let text = whole.format(d.matched);
  if (d.matched < all) text += ' of ' + whole.format(all);
  if (d.rows.length < d.matched) text += ', the first ' + d.rows.length;
  say($('matched'), all === 0 ? '' : text);
  $('first').hidden = all > 0;
  $('none').hidden = all === 0 || d.matched > 0;
  $('rows').closest('table').hidden = d.rows.length === 0;
}

// --- methods, disconnects and refusals

function showMethods(d) {
  for (const e of document.querySelectorAll('[data-counted]')) e.hidden = !d.counted;
  keep($('method-rows'), d.methods, (m) => m.name, (m) => {
    const row = make('tr');
    row.setAttribute('role', 'row');
    const [, service, method] = /^\/?(?:(.*)\/)?([^\/]*)$/.exec(m.name) || [null, '', m.name];
    const where = (service || '').split('.').flatMap((part, i) => i ? ['.', make('wbr'), part] : [part]);
    cell(row, 'Method', 'method').append(make('bdi', 'title', method), make('bdi', 'subject', ...where));
    row.inFlight = cell(row, 'In flight', 'number');
    row.calls = cell(row, 'Calls/s', 'number');
    row.errors = cell(row, 'Errors/s', 'number');
    return row;
  }, (row, m) => {
    say(row.inFlight, whole.format(m.inFlight));
    say(row.calls, d.rates ? rate(m.calls) : '–');
    say(row.errors, d.rates ? rate(m.errors) : '–');
    row.inFlight.classList.toggle('on', m.inFlight > 0);
    row.calls.classList.toggle('on', m.calls > 0);
    row.errors.classList.toggle('bad', m.errors > 0);
    row.calls.title = whole.format(m.ended) + ' so far';
    row.errors.title = whole.format(m.failed) + ' so far';
  });
  nothing('methods', d.methods);
}

function nothing(section, list) {
  const table = $(section).querySelector('table');
  if (table) table.hidden = list.length === 0;
  $(section).querySelector('.nothing').hidden = list.length > 0;
}

function createDeparture(e) {
  const li = make('li');
  const time = make('time', '', clock(e.at));
  time.dateTime = new Date(e.at).toISOString();
  time.title = new Date(e.at).toLocaleString();
  const reason = make('span', 'reason', e.reason.replace(/_/g, ' '));
  reason.dataset.reason = e.reason;
  li.append(make('span', 'head', make('bdi', 'title', e.name || '(no name)'), reason, time));
  const facts = [];
  if (e.namespace) facts.push('in ' + e.namespace);
  if (e.protocol) facts.push(e.protocol);
  if (e.address) facts.push(e.address);
  if (e.lasted !== undefined) facts.push(('after ' + span(e.lasted)).replace(/ /g, '\u00a0'));
  if (e.session) li.title = 'session ' + e.session + '…';
  if (e.text) li.append(make('bdi', 'why', e.text));
  li.append(make('bdi', 'subject', facts.join(' · ')));
  return li;
}

function showDepartures(d) {
  keep($('end-rows'), d.ends, (e) => e.n + ' ' + e.at, createDeparture);
  keep($('refusal-rows'), d.refusals, (e) => e.n + ' ' + e.at, createDeparture);
  nothing('ends', d.ends);
  nothing('refusals', d.refusals);
}

// --- the filter, which is also what the URL says

const form = $('filter');
const keys = ['q', 'labels', 'protocol', 'namespace', 'newer', 'older', 'busy', 'sort', 'order'];

// wanted returns the part of the URL that is about sessions.
function wanted() {
  const from = new URLSearchParams(location.search);
  const p = new URLSearchParams();
  for (const k of keys) if (from.has(k)) p.set(k, from.get(k));
  return p;
}

const descending = { name: false, age: false };
const sortOf = (p) => p.get('sort') || 'name';
const ascendingOf = (p) => p.has('order') ? p.get('order') === 'asc' : sortOf(p) in descending;

// choose makes a select have a value, if it is not among its options.
function choose(select, value, text) {
  if (![...select.options].some((o) => o.value === value)) {
    const option = new Option(text || value, value);
    select.append(option);
    if (select.kept) select.kept.set(value, option);
  }
  select.value = value;
}

// fill makes the form say what the URL says.
function fill() {
  const p = wanted();
  const f = form.elements;
  f.q.value = p.get('q') || '';
  f.labels.value = p.get('labels') || '';
  choose(f.protocol, p.get('protocol') || '');
  choose(f.namespace, p.has('namespace') ? '=' + p.get('namespace') : '*', p.get('namespace') || 'the default one');
  const age = ['newer', 'older'].filter((k) => p.get(k)).map((k) => k + '=' + p.get(k)).join('&');
  choose(f.age, age, age.replace('=', ' than '));
  f.busy.checked = p.get('busy') === '1';
  choose(f.sort, sortOf(p));
  $('namespaces').hidden = f.namespace.options.length < 3;
  showOrder();
}

function showOrder() {
  const p = wanted();
  for (const th of document.querySelectorAll('th[data-sort]')) {
    const mine = th.dataset.sort === sortOf(p);
    th.setAttribute('aria-sort', mine ? (ascendingOf(p) ? 'ascending' : 'descending') : 'none');
  }
  const filters = [...p.keys()].filter((k) => k !== 'sort' && k !== 'order');
  $('clear').hidden = filters.length === 0;
  if (filters.some((k) => k !== 'q')) expand(true);
}

// expand shows the rest of the filter, where the screen is too small for all of it.
function expand(all) {
  form.classList.toggle('all', all);
  $('more').setAttribute('aria-expanded', String(all));
}
$('more').addEventListener('click', () => expand(!form.classList.contains('all')));

// go makes the URL say something, and asks for that.
function go(p) {
  const text = p.toString();
  window.history.replaceState(null, '', text ? '?' + text : location.pathname);
  showOrder();
  problem('');
  ask();
}

function setFilter(key, value) {
  const p = wanted();
  p.set(key, value);
  go(p);
  fill();
}

function read() {
  const f = form.elements;
  const p = new URLSearchParams();
  for (const k of ['q', 'labels', 'protocol']) if (f[k].value.trim()) p.set(k, f[k].value.trim());
  if (f.namespace.value !== '*') p.set('namespace', f.namespace.value.slice(1));
  for (const part of f.age.value.split('&').filter(Boolean)) p.set(...part.split('='));
  if (f.busy.checked) p.set('busy', '1');
  const had = wanted();
  if (f.sort.value !== 'name') p.set('sort', f.sort.value);
  if (sortOf(had) === f.sort.value && had.has('order')) p.set('order', had.get('order'));
  if (p.toString() !== had.toString()) go(p);
}

let typing = 0;
form.addEventListener('submit', (e) => { e.preventDefault(); read(); });
form.addEventListener('change', read);
form.addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(read, 200); });
for (const id of ['clear', 'clear-too']) {
  $(id).addEventListener('click', () => {
    const had = wanted();
    const p = new URLSearchParams();
    for (const k of ['sort', 'order']) if (had.has(k)) p.set(k, had.get(k));
    clearTimeout(typing);
    go(p);
    fill();
    form.elements.q.focus();
  });
}
for (const th of document.querySelectorAll('th[data-sort]')) {
  th.firstElementChild.addEventListener('click', () => {
    const p = wanted();
    const same = sortOf(p) === th.dataset.sort;
    const up = same ? !ascendingOf(p) : th.dataset.sort in descending;
    p.set('sort', th.dataset.sort);
    p.set('order', up ? 'asc' : 'desc');
    if (up === th.dataset.sort in descending) p.delete('order');
    if (p.get('sort') === 'name') p.delete('sort');
    go(p);
    fill();
  });
}
document.addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const typed = e.target.closest('input, select, textarea');
  if (e.key === '/' && !typed) {
    e.preventDefault();
    form.elements.q.focus();
    form.elements.q.select();
  } else if (e.key === 'Escape' && typed) {
    typed.blur();
  }
});
window.addEventListener('popstate', () => { fill(); ask(); });

// offer makes a select offer what there is, with how many sessions have it.
function offer(select, first, shares, value, text) {
  if (document.activeElement === select) return; // it may be open
  const chosen = select.value;
  select.kept = select.kept || new Map([...select.options].map((o) => [o.value, o]));
  const options = [first, ...shares.map((s) => [value(s), text(s) + ' (' + whole.format(s.sessions) + ')'])];
  if (!options.some(([v]) => v === chosen)) options.push([chosen, chosen.replace(/^=/, '') || 'the default one']);
  keep(select, options, ([v]) => v, ([v]) => new Option('', v), (o, [, t]) => say(o, t));
  select.value = chosen;
}

function showOptions(d) {
  const f = form.elements;
  offer(f.protocol, ['', 'any'], d.totals.protocols, (s) => s.value, (s) => s.value);
  offer(f.namespace, ['*', 'any'], d.totals.namespaces, (s) => '=' + s.value, (s) => s.value || 'the default one');
  $('namespaces').hidden = f.namespace.options.length < 3 && f.namespace.value === '*';
}

function problem(text) {
  $('problem').hidden = !text;
  say($('problem'), text);
  form.elements.labels.setAttribute('aria-invalid', String(text.startsWith('selector')));
}

// --- the stream

let last = null; // the newest document
let paused = false;
let controller = null; // of the stream that is open
let asked = 0; // how many streams were asked for

function state(name, text) {
  $('state').dataset.state = paused && name === 'live' ? 'paused' : name;
  say($('state'), paused && name === 'live' ? 'paused' : text);
  document.body.classList.toggle('stale', name === 'lost');
}

function show(d) {
  showTotals(d);
  showSessions(d);
  showMethods(d);
  showDepartures(d);
  showOptions(d);
  document.title = whole.format(d.totals.sessions) + (d.totals.sessions === 1 ? ' session' : ' sessions') + ' · pushtunnel';
}

function take(d) {
  last = d;
  note(d);
  state('live', 'live');
  $('notice').hidden = true;
  if (!paused) show(d);
}

// ask opens a stream for what the URL says, in the place of the one that is open.
async function ask() {
  const mine = ++asked;
  if (controller) controller.abort();
  const c = controller = new AbortController();
  let watchdog = 0;
  const alive = () => { clearTimeout(watchdog); watchdog = setTimeout(() => c.abort(), silence); };
  let why = 'connection lost, trying again';
  alive();
  try {
    const response = await fetch('live?' + wanted(), { signal: c.signal, cache: 'no-store' });
    if (response.status === 400) {
      problem((await response.text()).trim().replace(/^pushtunnel: /, ''));
      clearTimeout(watchdog);
      return; // until something else is asked for
    }
    if (!response.ok) {
      why = (await response.text()).trim().replace(/^pushtunnel: /, '') + '; trying again';
      throw new Error(why);
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let text = ''; ;) {
      const { value, done } = await reader.read();
      if (done) break;
      text += value;
      const messages = text.split('\n\n');
      text = messages.pop();
      if (mine !== asked) return;
      if (messages.length === 0) continue;
      alive();
      for (const m of messages) take(JSON.parse(m.replace(/^data: /, '')));
    }
  } catch (e) {
    if (!(e instanceof Error) && !(e instanceof DOMException)) throw e;
  }
  clearTimeout(watchdog);
  c.abort();
  if (mine !== asked || document.hidden) return;
  state('lost', why);
  setTimeout(() => { if (mine === asked && !document.hidden) ask(); }, 1000 + 1000 * Math.random());
}

$('pause').addEventListener('click', () => {
  paused = !paused;
  $('pause').setAttribute('aria-pressed', String(paused));
  say($('pause'), paused ? 'Resume' : 'Pause');
  if ($('state').dataset.state !== 'lost') state('live', 'live');
  if (!paused && last) show(last);
});

// A page that nobody sees costs nothing.
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) {
    ask();
  } else {
    asked++;
    if (controller) controller.abort();
  }
});

fill();
if (!document.hidden) ask();
