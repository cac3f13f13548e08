'use strict';

/** The points of a scatter plot with their texts, in the picture's own units. Their native tooltips go: this page shows the texts itself. */
function pointsOf(svg) {
  return [...svg.querySelectorAll('circle > title, polygon > title')].map(title => {
    const box = title.parentNode.getBBox(), text = title.textContent;
    title.remove();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2, text };
  });
}

function nearest(points, x, y, reach) {
  let best = null, least = reach * reach;
  for (const point of points) {
    const apart = (point.x - x) ** 2 + (point.y - y) ** 2;
    if (apart <= least) [best, least] = [point, apart];
  }
  return best;
}

/** Shows name and labels of the point under the pointer, or of the one that the arrow keys have reached. */
function showNames(figure) {
  const svg = figure.querySelector('svg'), points = pointsOf(svg);
  const tip = document.createElement('div'), ring = document.createElementNS('http://www.w3.org/2000/svg', 'circle');
  tip.className = 'tip';
  tip.setAttribute('role', 'status');
  tip.hidden = true;
  ring.setAttribute('class', 'frame');
  ring.setAttribute('r', '7');
  svg.setAttribute('tabindex', '0');
  figure.append(tip);
  let at = -1;

  function show(point) {
    tip.hidden = !point;
    ring.remove();
    if (!point) return;
    ring.setAttribute('cx', point.x);
    ring.setAttribute('cy', point.y);
    svg.append(ring);
    tip.textContent = point.text;
    const place = svg.getScreenCTM(), frame = figure.getBoundingClientRect();
    const x = place.a * point.x + place.e - frame.x, y = place.d * point.y + place.f - frame.y;
    tip.style.left = Math.max(0, Math.min(x + 14, frame.width - tip.offsetWidth)) + 'px';
    tip.style.top = y + 14 + 'px';
  }
  svg.addEventListener('pointermove', event => {
    const place = svg.getScreenCTM();
    show(nearest(points, (event.clientX - place.e) / place.a, (event.clientY - place.f) / place.d, 14 / place.a));
  });
  svg.addEventListener('pointerleave', () => show(null));
  svg.addEventListener('blur', () => show(null));
  svg.addEventListener('keydown', event => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by || !points.length) return;
    event.preventDefault();
    at = (at + by + points.length) % points.length;
    show(points[at]);
  });
}

for (const figure of document.querySelectorAll('figure.points')) showNames(figure);
