// Long tables: a header that is pressed sorts its column, and a field above keeps the rows that hold what is typed.
// The head of a table that fits the page stays in sight. Claims are cards where their table would be too narrow.
// An interval stays on one line, and the name of a data frame's index stands in the line of the other names.
// Tables of claims: a button for each verdict keeps its rows; the address ends with the verdict (#refuted).
(function () {
  "use strict";

  const SORTABLE_ROWS = 6;
  const FILTERED_ROWS = 12;
  const UNITS = { k: 1e3, M: 1e6, G: 1e9 };
  const SHORT = 45; // characters of a cell that may be a number with its interval

  // The number that a cell begins with, or NaN: 1,234.5, −0.1, 30.1M, 96 %.
  function numberIn(text) {
    const match = /^[<>≈+]?\s*([-−]?[\d,]*\.?\d+(?:e[-+]?\d+)?)\s*([kMG])?/.exec(text.trim());
    return match ? Number(match[1].replace(/,/g, "").replace("−", "-")) * (UNITS[match[2]] ?? 1) : NaN;
  }

  const isNumeric = (texts) => texts.filter((text) => !Number.isNaN(numberIn(text))).length > texts.length / 2;
  const cellsOf = (table, column) => [...table.tBodies[0].rows].map((row) => row.cells[column].textContent);

  function sort(table, column, down) {
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => ({ row, text: row.cells[column].textContent, number: numberIn(row.cells[column].textContent) }));
    const numeric = isNumeric(cellsOf(table, column).filter((text) => text.trim()));
    const compare = (a, b) => {
      if (!numeric) return a.text.localeCompare(b.text, "en", { numeric: true });
      if (Number.isNaN(a.number) || Number.isNaN(b.number)) return Number.isNaN(a.number) - Number.isNaN(b.number);
      return a.number - b.number;
    };
    keyed.sort((a, b) => (down ? compare(b, a) : compare(a, b)));
    body.append(...keyed.map(({ row }) => row));
  }

  function makeSortable(table, headers) {
    headers.forEach((header, column) => {
      if (header.querySelector("a, button") || !header.textContent.trim()) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "table-sort";
      button.append(...header.childNodes);
      header.append(button);
      button.addEventListener("click", () => {
        const down = header.getAttribute("aria-sort") === "ascending";
        headers.forEach((other) => other.removeAttribute("aria-sort"));
        header.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(table, column, down);
      });
    });
  }

  function makeFilterable(table) {
    const rows = [...table.tBodies[0].rows];
    const label = document.createElement("label");
    label.className = "table-filter";
    const input = Object.assign(document.createElement("input"), { type: "text" });
    const count = document.createElement("output");
    label.append("Rows with ", input, count);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/);
      for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
      count.textContent = input.value ? `${rows.filter((row) => !row.hidden).length} of ${rows.length}` : "";
    });
    (table.closest(".pst-scrollable-table-container, .output.text_html") ?? table).before(label);
  }

  function keepTogether(cell) {
    if (cell.textContent.length > SHORT) return;
    const walker = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    let inside = false;
    while (walker.nextNode()) {
      const letters = [...walker.currentNode.data].map((letter) => {
        inside = letter === "[" || letter === "(" || (inside && letter !== "]" && letter !== ")");
        return inside && letter === " " ? "\u00a0" : letter;
      });
      walker.currentNode.data = letters.join("").replaceAll(" ± ", "\u00a0±\u00a0");
    }
  }

  function joinHeads(table) {
    const [names, index] = [...(table.tHead?.rows ?? [])].map((row) => [...row.cells]);
    if (table.tHead?.rows.length !== 2 || names.length !== index.length) return;
    if (names.some((name, column) => name.textContent.trim() && index[column].textContent.trim())) return;
    index.forEach((name, column) => names[column].append(name.textContent.trim()));
    table.tHead.rows[1].remove();
  }

  function makeVerdicts(place) {
    const tables = [...document.querySelectorAll("table.claims")];
    const rows = tables.flatMap((table) => [...table.tBodies[0].rows]);
    const verdict = (row) => row.querySelector(".sd-badge")?.textContent ?? "";
    const listed = [...document.querySelectorAll("article li .sd-badge")].map((badge) => badge.textContent);
    const buttons = ["all", ...listed].map((name) => {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
      button.addEventListener("click", () => choose(name));
      return button;
    });
    function choose(name) {
      for (const button of buttons) button.setAttribute("aria-pressed", button.textContent === name);
      for (const row of rows) row.hidden = name !== "all" && verdict(row) !== name;
      history.replaceState(null, "", name === "all" ? location.pathname : `#${encodeURIComponent(name)}`);
    }
    place.append(...buttons);
    const asked = decodeURIComponent(location.hash.slice(1));
    if (buttons.some((button) => button.textContent === asked)) choose(asked);
  }

  function keepInSight(table, box) {
    const fit = () => {
      box.classList.add("fits"); // measured as it would then be: what scrolls has a narrower first column
      box.classList.toggle("fits", table.offsetWidth <= box.clientWidth + 1);
    };
    const watch = new ResizeObserver(fit);
    [table, box].forEach((what) => watch.observe(what));
  }

  function makeCards(tables, filtered) {
    const narrow = matchMedia(`(max-width: ${filtered ? 1199 : 600}px)`);
    const lay = () => tables.forEach((table) => table.classList.toggle("cards", narrow.matches));
    narrow.addEventListener("change", lay);
    lay();
  }

  document.addEventListener("DOMContentLoaded", () => {
    for (const row of document.querySelectorAll("table.claims tbody tr")) {
      const heads = row.closest("table").tHead.rows[0].cells;
      [...row.cells].forEach((cell, column) => (cell.dataset.column = heads[column].textContent));
    }
    document.querySelectorAll(".verdict-filter").forEach(makeVerdicts);
    makeCards(document.querySelectorAll("table.claims"), document.querySelector(".verdict-filter"));
    for (const box of document.querySelectorAll(".pst-scrollable-table-container")) keepInSight(box.querySelector("table"), box);
    document.querySelectorAll("article td").forEach(keepTogether);
    document.querySelectorAll("table.dataframe").forEach(joinHeads);
    for (const table of document.querySelectorAll("article table")) {
      const [head, body] = [table.tHead, table.tBodies[0]];
      const regular = head?.rows.length === 1 && body && !table.querySelector("[rowspan], [colspan]");
      if (!regular || body.rows.length < SORTABLE_ROWS) continue;
      const heads = [...head.rows[0].cells];
      const worth = body.rows.length >= FILTERED_ROWS || heads.some((_, column) => isNumeric(cellsOf(table, column)));
      if (worth) makeSortable(table, heads);
      if (body.rows.length >= FILTERED_ROWS && !table.matches(".claims")) makeFilterable(table);
    }
  });
})();
