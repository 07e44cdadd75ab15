// Marks of a figure tell their name and numbers when they are pointed at, touched, or reached with the arrow keys.
(function () {
  "use strict";

  const REACH = 26; // pixels from a pointer within which a mark answers
  const narrow = matchMedia("(max-width: 600px)");

  function make(name, properties, parent) {
    const element = Object.assign(document.createElement(name), properties);
    parent.append(element);
    return element;
  }

  function start(script) {
    // Each mark: across and down in the wide picture, the same in the tall one, as shares of it; its text.
    const told = JSON.parse(script.textContent);
    const picture = script.previousElementSibling;
    const box = make("div", { className: "pointed", tabIndex: 0, role: "application" }, document.createElement("div"));
    box.setAttribute("aria-label", "The marks of this figure. Arrow keys go from mark to mark.");
    picture.replaceWith(box);
    box.append(picture);
    const ring = make("span", { className: "ring", hidden: true }, box);
    const words = make("output", { className: "told", hidden: true }, box);
    const hint = document.createElement("p");
    hint.className = "pointed-hint";
    hint.textContent = "Point at a mark or touch it: it tells its name and numbers. Arrow keys go from mark to mark.";
    box.after(hint);
    let current = -1;

    const place = (mark) => (narrow.matches ? mark.slice(2, 4) : mark.slice(0, 2));

    function tell(index) {
      current = index;
      ring.hidden = words.hidden = index < 0;
      if (index < 0) return;
      const [across, down] = place(told[index]);
      words.textContent = told[index][4];
      ring.style.left = words.style.left = `${100 * across}%`;
      ring.style.top = words.style.top = `${100 * down}%`;
      words.style.transform = `translate(${-100 * across}%, ${down < 0.2 ? "14px" : "calc(-100% - 14px)"})`;
    }

    function nearest(event) {
      const area = box.getBoundingClientRect();
      let [found, distance] = [-1, REACH];
      told.forEach((mark, index) => {
        const [across, down] = place(mark);
        const away = Math.hypot(area.left + across * area.width - event.clientX, area.top + down * area.height - event.clientY);
        if (away < distance) [found, distance] = [index, away];
      });
      return found;
    }

    for (const kind of ["pointermove", "pointerdown"]) box.addEventListener(kind, (event) => tell(nearest(event)));
    box.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && tell(-1)); // a finger is lifted
    box.addEventListener("blur", () => tell(-1));
    narrow.addEventListener("change", () => tell(-1));
    box.addEventListener("keydown", (event) => {
      const last = told.length - 1;
      const [on, back] = [Math.min(last, current + 1), Math.max(0, current - 1)];
      const next = { ArrowRight: on, ArrowDown: on, ArrowLeft: back, ArrowUp: back, Home: 0, End: last, Escape: -1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      tell(next);
    });
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("script.marks").forEach(start));
})();
