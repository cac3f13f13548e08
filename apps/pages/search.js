'use strict';

const element = id => document.getElementById(id);
let limitBytes = Infinity;
let asked = 0;  // the newest question; answers to older ones are dropped
let preview = null;

function make(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function labelList(labels, shared) {
  const list = make('ul');
  for (const label of labels) list.append(make('li', label, shared.has(label) ? 'shared' : ''));
  return list;
}

/** A picture with its caption; with `row` the picture is a button that searches with it. */
function figure({ source, name, distance, labels, row, shared = new Set() }) {
  const figure = make('figure'), image = make('img'), caption = make('figcaption');
  image.src = source;
  image.alt = row === undefined ? 'Query image ' + name : name;
  if (row === undefined) {
    figure.append(image);
  } else {
    const button = make('button');
    button.type = 'button';
    button.title = 'Search with this image';
    button.append(image);
    button.addEventListener('click', () => searchIndexed(row));
    figure.append(button);
  }
  if (distance !== undefined) caption.append(make('div', distance.toFixed(3), 'distance'));
  caption.append(make('div', name, 'soft'), labelList(labels, shared));
  figure.append(caption);
  return figure;
}

function fill(list, figures) {
  list.replaceChildren(...figures.map(one => {
    const item = make('li');
    item.append(one);
    return item;
  }));
}

function say(status, error = '') {
  element('status').textContent = status;
  element('error').textContent = error;
}

/** The answer's JSON; throws an Error whose message is for people. */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error('The server does not answer; is swath serve still running?');
  }
  const answer = await response.json().catch(() => ({ error: 'The server answered ' + response.status + '.' }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

async function search(name, path, options, source) {
  const question = ++asked;
  say('Searching …');
  document.body.setAttribute('aria-busy', 'true');
  try {
    const answer = await ask(path, options);
    if (question !== asked) return;
    const labels = answer.query.labels;
    element('query').replaceChildren(figure({ source, name, labels }));
    element('query').hidden = false;
    fill(element('found'), answer.neighbours.map(found => figure({
      source: found.image, name: found.id, distance: found.distance, labels: found.labels, row: found.row,
      shared: new Set(labels) })));
    say(`${answer.neighbours.length} nearest images, by Euclidean distance, in ${(1000 * answer.seconds).toFixed(0)} ms.`);
  } catch (problem) {
    if (question === asked) say('', problem.message);
  } finally {
    if (question === asked) document.body.removeAttribute('aria-busy');
  }
}

function query() {
  return '?k=' + encodeURIComponent(element('k').value);
}

function searchFile(file) {
  if (file.size > limitBytes) {
    say('', `${file.name} has ${file.size} bytes, more than the limit of ${limitBytes}.`);
    return;
  }
  if (preview) URL.revokeObjectURL(preview);
  preview = URL.createObjectURL(file);
  search(file.name, '/api/search' + query(), { method: 'POST', body: file, headers: { 'Content-Type': 'application/octet-stream' } },
         preview);
}

function searchIndexed(row) {
  search('indexed image ' + row, `/api/neighbours/${row}` + query(), {}, `/api/image/${row}`);
}

function acceptFiles() {
  const drop = element('drop'), input = element('file');
  input.addEventListener('change', () => {
    if (input.files.length) searchFile(input.files[0]);
    input.value = '';  // the same file may be chosen again
  });
  // A file that misses the target must not replace the page.
  for (const kind of ['dragover', 'drop']) window.addEventListener(kind, event => event.preventDefault());
  drop.addEventListener('dragover', () => drop.classList.add('over'));
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  drop.addEventListener('drop', event => {
    drop.classList.remove('over');
    if (event.dataTransfer.files.length) searchFile(event.dataTransfer.files[0]);
  });
}

async function start() {
  element('ask').addEventListener('submit', event => event.preventDefault());
  try {
    const index = await ask('/api/index');
    limitBytes = index.limits.bytes;
    element('k').max = index.limits.k;
    element('about').textContent = `${index.images} images` + (index.labelled ? `, ${index.classes.length} classes` : ', without labels') +
      (index.note ? ` (${index.note})` : '');
    if (index.upload) {
      acceptFiles();
    } else {
      element('prompt').textContent = 'This index holds images of ' + index.bands.length + ' bands: start from one below, or use swath search.';
      element('file').remove();
      element('drop').classList.add('off');
    }
    fill(element('some'), index.some.map(one => figure({ source: one.image, name: one.id, labels: [], row: one.row })));
    element('start').hidden = false;
  } catch (problem) {
    say('', problem.message);
  }
}

start();
