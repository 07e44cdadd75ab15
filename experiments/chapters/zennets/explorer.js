(() => {
  "use strict";
  const root = document.currentScript.parentElement;
  const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { left: 46, right: 14, top: 12, bottom: 42 };
  const REACH = 26; // pixels from a pointer within which a mark answers

  const make = (name, attributes = {}, parent, text) => {
    const element = document.createElementNS(name.startsWith("html:") ? "http://www.w3.org/1999/xhtml" : SVG, name.replace("html:", ""));
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };

  const OUTLINES = {
    circle: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    square: "M-4.5 -4.5H4.5V4.5H-4.5Z",
    up: "M0 -6L5.5 4.5H-5.5Z",
    down: "M0 6L5.5 -4.5H-5.5Z",
    diamond: "M0 -7L7 0L0 7L-7 0Z",
    plus: "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z",
    cross: "M-6 -3.2L-3.2 -6L0 -2.8L3.2 -6L6 -3.2L2.8 0L6 3.2L3.2 6L0 2.8L-3.2 6L-6 3.2L-2.8 0Z",
  };
  const draw = (family, hollow, parent, x, y) =>
    make("path", {
      class: "mark",
      d: OUTLINES[family.shape],
      transform: `translate(${x} ${y})`,
      "stroke-width": 1.6,
      style: `stroke: ${family.colour}; fill: ${hollow ? "none" : family.colour}`,
    }, parent);

  const number = value => value.toLocaleString("en", { maximumSignificantDigits: 4 });
  const tick = value => value >= 1e9 ? `${value / 1e9}G` : value >= 1e6 ? `${value / 1e6}M` : String(Number(value.toPrecision(3)));

  const choice = make("html:label", {}, root, "Cost: ");
  const select = make("html:select", {}, choice);
  data.costs.forEach((cost, index) => make("html:option", { value: index }, select, cost));
  const again = make("html:label", {}, root);
  const second = make("html:input", { type: "checkbox", checked: "" }, again);
  again.append(" weights trained again (V2, hollow)");
  const chart = make("svg", { tabindex: "0", role: "application", "aria-label": `${data.title}. Arrow keys go from mark to mark.` }, root);
  const told = make("html:p", { class: "told", "aria-live": "polite" }, root);
  const legend = make("html:ul", {}, root);
  for (const family of data.families) {
    const item = make("html:li", {}, legend);
    draw(family, false, make("svg", { viewBox: "-8 -8 16 16", width: 16, height: 16, "aria-hidden": "true" }, item), 0, 0);
    item.append(family.name);
  }

  let marks = []; // those with a value, from the cheapest to the dearest
  let current = -1;
  let ring = null;

  const steps = (low, high) => {
    const found = [];
    const few = high / low > 30;
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const lead of few ? [1, 3] : [1, 2, 5]) {
        const value = lead * 10 ** power;
        if (value >= low && value <= high) found.push(value);
      }
    return found;
  };

  const redraw = () => {
    const width = Math.max(280, Math.floor(root.clientWidth || 640));
    const height = Math.round(Math.min(460, Math.max(320, width * 0.7)));
    const cost = Number(select.value);
    const name = current >= 0 ? marks[current].name : null;
    marks = data.marks.filter(mark => mark.costs[cost] !== null && (second.checked || !mark.hollow))
      .map(mark => ({ ...mark, cost: mark.costs[cost] })).sort((a, b) => a.cost - b.cost || b.top1 - a.top1);
    chart.replaceChildren();
    chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
    chart.setAttribute("height", height);
    const [low, high] = [marks[0].cost / 1.25, marks[marks.length - 1].cost * 1.25];
    const bottom = Math.floor(Math.min(...marks.map(mark => mark.top1)) / 5) * 5;
    const top = Math.ceil((Math.max(...marks.map(mark => mark.top1)) + 0.5) / 5) * 5;
    const x = value => MARGIN.left + (width - MARGIN.left - MARGIN.right) * Math.log(value / low) / Math.log(high / low);
    const y = value => height - MARGIN.bottom - (height - MARGIN.top - MARGIN.bottom) * (value - bottom) / (top - bottom);

    for (let value = bottom; value <= top; value += top - bottom > 20 ? 10 : 5) {
      make("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }, chart);
      make("text", { x: MARGIN.left - 6, y: y(value) + 4, "text-anchor": "end" }, chart, value);
    }
    for (const value of steps(low, high)) {
      make("line", { class: "grid", x1: x(value), x2: x(value), y1: MARGIN.top, y2: height - MARGIN.bottom }, chart);
      make("text", { x: x(value), y: height - MARGIN.bottom + 17, "text-anchor": "middle" }, chart, tick(value));
    }
    make("text", { x: width - MARGIN.right, y: height - 6, "text-anchor": "end" }, chart, data.costs[cost]);
    make("text", { x: MARGIN.left + 6, y: MARGIN.top + 12 }, chart, "top-1 (%)");

    let best = -Infinity;
    let path = "";
    for (const mark of marks) {
      mark.front = mark.top1 > best;
      if (mark.front) path += path ? `H${x(mark.cost)}V${y(mark.top1)}` : `M${x(mark.cost)} ${y(mark.top1)}`;
      best = Math.max(best, mark.top1);
    }
    make("path", { class: "front", d: path }, chart);
    for (const mark of marks) {
      [mark.x, mark.y] = [x(mark.cost), y(mark.top1)];
      draw(data.families[mark.line], mark.hollow, chart, mark.x, mark.y);
    }
    ring = make("circle", { class: "ring", r: 10, visibility: "hidden" }, chart);
    tell(marks.findIndex(mark => mark.name === name));
  };

  const tell = index => {
    current = index;
    if (index < 0) {
      ring.setAttribute("visibility", "hidden");
      told.textContent = "Point at a mark, touch it, or use the arrow keys. The line is the Pareto front.";
      return;
    }
    const mark = marks[index];
    for (const [key, value] of Object.entries({ cx: mark.x, cy: mark.y, visibility: "visible" })) ring.setAttribute(key, value);
    told.textContent = `${mark.name} (${data.families[mark.line].name}): top-1 ${mark.top1.toFixed(1)} %, ` +
      `${data.costs[select.value]}: ${number(mark.cost)}${mark.front ? "; on the front" : ""}`;
  };

  const nearest = event => {
    const box = chart.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let found = -1;
    let distance = REACH;
    marks.forEach((mark, index) => {
      const away = Math.hypot(mark.x - x, mark.y - y);
      if (away < distance) [found, distance] = [index, away];
    });
    return found;
  };
  for (const kind of ["pointermove", "pointerdown"])
    chart.addEventListener(kind, event => { const found = nearest(event); if (found >= 0) tell(found); });
  chart.addEventListener("keydown", event => {
    const last = marks.length - 1;
    const next = {
      ArrowRight: Math.min(last, current + 1), ArrowUp: Math.min(last, current + 1),
      ArrowLeft: Math.max(0, current - 1), ArrowDown: Math.max(0, current - 1), Home: 0, End: last, Escape: -1,
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    tell(next);
  });
  select.addEventListener("change", redraw);
  second.addEventListener("change", redraw);
  let width = 0;
  new ResizeObserver(() => { if (root.clientWidth !== width) { width = root.clientWidth; redraw(); } }).observe(root);
  redraw();
})();
