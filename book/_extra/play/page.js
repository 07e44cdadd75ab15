// The page: controls on one side, numbers and bars on the other. What is computed stands in the other files.
(function () {
  "use strict";

  const byId = (name) => document.getElementById(`play-${name}`);
  const KIND_NAMES = { conv: "convolution", residual: "residual", bottleneck: "bottleneck", inverted: "inverted" };
  const SVG = "http://www.w3.org/2000/svg";
  const HEIGHT = 200;
  const COUNTS = ["relu-units", "activations", "log-width", "log-fan-in"];
  const SCORES = ["naswot", "synflow", "az-expressivity", "intrain"];

  let network = null; // {blocks, resolution, classes}
  let kept = null; // the numbers of the network that is compared with
  let shown = null; // the numbers on the page

  // ---- numbers as text

  const whole = (value) => value.toLocaleString("en");
  const nats = (value) => value.toFixed(2).replace("-", "−");

  function short(value) {
    for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) if (value >= size) return `${(value / size).toPrecision(3)} ${unit}`;
    return String(value);
  }

  function change(value, before, text) {
    if (value === before) return "the same";
    return `${value > before ? "+" : "−"}${text(Math.abs(value - before))}`;
  }

  // ---- choices that a control offers; what a network has but the list lacks is added

  const widths = [];
  for (let width = 8; width <= 4096; width += Math.max(8, 2 ** Math.floor(Math.log2(width)) / 8)) widths.push(width);

  function including(values, value) {
    return [...new Set([...values, value])].sort((a, b) => a - b);
  }

  function fill(select, values, value, text = String) {
    select.replaceChildren(...values.map((each) => new Option(text(each), each, false, String(each) === String(value))));
  }

  // ---- one block

  function card(block, number) {
    const fieldset = byId("block").content.cloneNode(true).firstElementChild;
    const place = number === 0 ? ", takes the image" : number === network.blocks.length - 1 ? ", gives the features" : "";
    fieldset.querySelector("legend").textContent = `Block ${number + 1}${place}`;
    fieldset.dataset.number = number;
    const control = (name) => fieldset.querySelector(`[name=${name}]`);
    fill(control("kind"), zenlib.KINDS, block.kind, (kind) => KIND_NAMES[kind]);
    fill(control("kernel"), including([1, 3, 5, 7], block.kernel), block.kernel, (k) => `${k}×${k}`);
    fill(control("stride"), including([1, 2], block.stride), block.stride);
    fill(control("expansion"), including([1, 2, 4, 6], block.expansion || 1), block.expansion);
    slider(control("out_channels"), including(widths, block.out_channels), block.out_channels);
    slider(control("bottleneck"), including(widths, block.bottleneck || 8), block.bottleneck || 8);
    const upTo = Math.max(10, block.layers);
    slider(control("layers"), Array.from({ length: upTo }, (_, i) => i + 1), block.layers);
    for (const part of fieldset.querySelectorAll(".only-inverted")) part.hidden = block.kind !== "inverted";
    for (const part of fieldset.querySelectorAll(".no-conv")) part.hidden = block.kind === "conv";
    control("remove").disabled = network.blocks.length === 1;
    fieldset.addEventListener("input", (event) => changed(number, event.target));
    fieldset.addEventListener("focusin", () => highlight(number));
    fieldset.addEventListener("focusout", () => highlight(null));
    control("add").addEventListener("click", () => add(number));
    control("remove").addEventListener("click", () => remove(number));
    return fieldset;
  }

  function slider(input, values, value) {
    input.values = values;
    input.min = 0;
    input.max = values.length - 1;
    input.value = values.indexOf(value);
    say(input, value);
  }

  function say(input, value) {
    input.closest(".play-slider").querySelector("output").textContent = value;
    input.setAttribute("aria-valuetext", String(value));
  }

  function changed(number, input) {
    const block = network.blocks[number];
    if (input.type === "range") {
      block[input.name] = input.values[Number(input.value)];
      say(input, block[input.name]);
    } else if (input.name === "kind") {
      block.kind = input.value;
      block.bottleneck = block.kind === "conv" ? 0 : block.bottleneck || block.out_channels;
      block.expansion = block.kind === "inverted" ? block.expansion || 4 : 0;
      cards(number, "kind");
    } else {
      block[input.name] = Number(input.value);
    }
    update();
  }

  function add(number) {
    if (network.blocks.length >= 40) return;
    const before = network.blocks[number];
    network.blocks.splice(number + 1, 0, { ...before, stride: 1 });
    cards(number + 1, "kind");
    update();
  }

  function remove(number) {
    network.blocks.splice(number, 1);
    cards(Math.max(0, number - 1), "remove");
    update();
  }

  // Draws all blocks again and puts the keyboard where it was.
  function cards(number, name) {
    byId("blocks").replaceChildren(...network.blocks.map(card));
    if (number !== undefined) byId("blocks").querySelector(`[data-number="${number}"] [name=${name}]`).focus();
  }

  // ---- the network as a whole

  function update({ keepText = false } = {}) {
    network.blocks.forEach((block, i) => (block.in_channels = i ? network.blocks[i - 1].out_channels : block.in_channels));
    const { blocks, resolution, classes } = network;
    const text = zenlib.print(blocks);
    if (!keepText) byId("string").value = text;
    byId("command").value = `zenlib score "${text}" --resolution ${resolution}`;
    byId("python").value = program(text, resolution, classes);
    complain("string-problem", null);
    history.replaceState(null, "", `#${new URLSearchParams({ resolution, classes, network: text })}`);
    try {
      const counted = { params: zenlib.params(blocks, classes), flops: zenlib.flops(blocks, resolution, classes), depth: zenlib.depth(blocks) };
      shown = { ...counted, ...zenlib.formulas(blocks, resolution), score: null };
      complain("problem", null);
    } catch (error) {
      shown = null;
      complain("problem", error.message);
      numbers();
      return;
    }
    byId("score").closest("div").classList.add("waiting");
    numbers();
    zenlib.closedFormLater(text, resolution, ({ terms, error }) => {
      if (text !== zenlib.print(network.blocks) || resolution !== network.resolution || !shown) return;
      if (error) return complain("problem", error);
      shown.score = terms.score;
      byId("score").closest("div").classList.remove("waiting");
      numbers();
      bars(terms);
      table(terms);
    });
  }

  // A Python program that prints every number of the page.
  function program(text, resolution, classes) {
    return `from zenlib import Architecture, arithmetic, closed_form_zen_score

network = Architecture.from_string("${text}")
print("score", closed_form_zen_score(network, ${resolution}))
print("params", network.params(${classes}))
print("flops", network.flops(${resolution}, ${classes}))
print("depth", network.depth)
for name in (
    "${[...COUNTS, ...SCORES].join('",\n    "')}",
):
    print(name, arithmetic(name, network, ${resolution}))
`;
  }

  function numbers() {
    const show = (name, text, exact) => {
      const value = shown?.[name];
      if (value === null) return; // the score on its way: the old one stays
      const output = byId(name);
      output.textContent = value === undefined ? "–" : text(value);
      output.title = value === undefined ? "" : exact(value);
      output.dataset.value = value ?? "";
      output.nextElementSibling.textContent = kept && value !== undefined ? change(value, kept[name], text) : "";
    };
    show("score", nats, (value) => `${value} nats`);
    show("params", short, whole);
    show("flops", short, whole);
    show("depth", String, String);
    for (const name of COUNTS) show(name, name.startsWith("log") ? nats : short, String);
    for (const name of SCORES) show(name, (value) => (value < 1000 ? nats : short)(value), String);
  }

  function complain(name, message) {
    byId(name).hidden = message === null;
    byId(name).textContent = message ?? "";
  }

  // ---- the bars

  function element(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function bars({ layers, logDelta, score }) {
    const values = [...layers.map(({ logSigma }) => logSigma), logDelta];
    const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
    const y = (value) => HEIGHT * (1 - (value - low) / (high - low || 1));
    const svg = byId("bars");
    svg.setAttribute("viewBox", `0 0 ${values.length} ${HEIGHT}`);
    const drawn = values.map((value, i) => {
      const bar = element("rect", { x: i + 0.08, width: 0.84, y: Math.min(y(0), y(value)), height: Math.max(1, Math.abs(y(value) - y(0))) });
      const last = i === layers.length;
      bar.setAttribute("class", last ? "delta" : layers[i].block % 2 ? "odd" : "even");
      if (!last) bar.dataset.block = layers[i].block;
      bar.append(element("title", {}, last ? `log Δ: ${nats(value)}` : `${describe(layers[i])}, block ${layers[i].block + 1}: log σ ${nats(value)}`));
      return bar;
    });
    const zero = element("line", { x1: 0, x2: values.length, y1: y(0), y2: y(0), class: "zero" });
    const sum = score - logDelta;
    const title = `Terms of the score from the first to the last of ${layers.length} convolutions, then log Δ`;
    svg.replaceChildren(element("title", { id: "play-bars-title" }, title), ...drawn, zero);
    const saturated = layers.at(-1).delta;
    byId("caption").textContent =
      `Bars: log σ of ${layers.length} convolutions, from ${nats(Math.min(...values.slice(0, -1)))} to ` +
      `${nats(Math.max(...values.slice(0, -1)))} nats; shades tell blocks apart. Their sum is ${nats(sum)}. ` +
      `Last bar: log Δ, ${nats(logDelta)}. Of the correlation between image and perturbed image, ${(100 * (1 - saturated)).toFixed(1)} % is left at the output.`;
  }

  function highlight(number) {
    for (const bar of byId("bars").querySelectorAll("[data-block]"))
      bar.classList.toggle("chosen", number !== null && Number(bar.dataset.block) === number);
  }

  function describe({ kernel, stride, groups }) {
    return `${kernel}×${kernel}${stride > 1 ? ` /${stride}` : ""}${groups > 1 ? " depthwise" : ""}`;
  }

  function table({ layers, logDelta }) {
    const line = (cells) => {
      const row = document.createElement("tr");
      row.append(...cells.map((cell) => Object.assign(document.createElement("td"), { textContent: cell })));
      return row;
    };
    byId("rows").replaceChildren(
      ...layers.map((layer, i) => line([
        i + 1, layer.block + 1, describe(layer), `${layer.inChannels} → ${layer.outChannels}`, `${layer.outSide}×${layer.outSide}`, nats(layer.logSigma),
      ])),
      line(["", "", "log Δ", "", "", nats(logDelta)]),
    );
  }

  // ---- beginning, pasting, copying, comparing

  function load(text, resolution, classes) {
    network = { blocks: zenlib.parse(text), resolution, classes };
    fill(byId("resolution"), including([32, 64, 96, 128, 160, 192, 224, 256], resolution), resolution, (side) => `${side} px`);
    fill(byId("classes"), including([10, 100, 1000], classes), classes);
    cards();
    update();
  }

  function pasted() {
    try {
      network.blocks = zenlib.parse(byId("string").value);
      byId("preset").value = "";
      cards();
      update({ keepText: true });
    } catch (error) {
      if (!(error instanceof zenlib.StructureError)) throw error;
      complain("string-problem", `${error.message} The network above is still the last good one.`);
    }
  }

  async function copy(button) {
    const field = document.getElementById(button.dataset.copies);
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
    } catch {
      field.select();
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = before), 2000);
  }

  function preset(name) {
    const found = zenlib.PRESETS.find((each) => each.name === name);
    if (found) load(found.text, found.resolution, found.classes);
  }

  // The network that the address names, if it names a good one.
  function fromAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    const [resolution, classes] = ["resolution", "classes"].map((name) => Number(given.get(name)));
    const inRange = (value, least, most) => Number.isInteger(value) && value >= least && value <= most;
    if (!given.has("network") || !inRange(resolution, 1, 512) || !inRange(classes, 1, 1e6)) return false;
    try {
      load(given.get("network"), resolution, classes);
      return true;
    } catch (error) {
      if (!(error instanceof zenlib.StructureError)) throw error;
      return false;
    }
  }

  byId("preset").replaceChildren(new Option("your own", ""), ...zenlib.PRESETS.map(({ name, label }) => new Option(label, name)));
  byId("preset").addEventListener("change", (event) => preset(event.target.value));
  byId("resolution").addEventListener("change", (event) => {
    network.resolution = Number(event.target.value);
    update();
  });
  byId("classes").addEventListener("change", (event) => {
    network.classes = Number(event.target.value);
    update();
  });
  byId("string").addEventListener("input", pasted);
  for (const button of document.querySelectorAll("[data-copies]")) button.addEventListener("click", () => copy(button));
  byId("keep").addEventListener("click", () => {
    kept = { ...shown };
    byId("forget").hidden = false;
    numbers();
  });
  byId("forget").addEventListener("click", () => {
    kept = null;
    byId("forget").hidden = true;
    byId("keep").focus();
    numbers();
  });
  if (!fromAddress()) {
    byId("preset").value = "small";
    preset("small");
  }
})();
