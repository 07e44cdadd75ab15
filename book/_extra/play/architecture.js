// Networks of the two search spaces as plain data: reading, printing and counting. Follows zenlib/architecture.py.
(globalThis.zenlibParts ??= []).push(function (zenlib) {
  "use strict";

  const KINDS = ["conv", "residual", "bottleneck", "inverted"];
  const LARGEST = { kernel: 15, in_channels: 65536, out_channels: 65536, stride: 64, bottleneck: 65536, layers: 64, expansion: 64 };
  const MOST_BLOCKS = 40;

  // A name is fixed text and numbers in turn; the most specific comes first: K1KxK1 would otherwise be the residual K1K1.
  const NAMES = [
    ["bottleneck", "SuperResK1K", "kernel", "K1"],
    ["residual", "SuperResK", "kernel", "K", "again", ""],
    ["inverted", "SuperResIDWE", "expansion", "K", "kernel", ""],
    ["conv", "SuperConvK", "kernel", "BNRELU"],
  ];
  const KNOWN = "SuperConvK{k}BNRELU, SuperResK{k}K{k}, SuperResK1K{k}K1 or SuperResIDWE{e}K{k}, followed by '('";

  class StructureError extends Error {
    constructor(text, position, needed) {
      const found = position < text.length ? `'${text[position]}'` : "the end of the text";
      super(`Character ${position}: ${needed}; found ${found}.`);
      this.position = position;
    }
  }

  function fieldsOf(kind) {
    return kind === "conv"
      ? ["in_channels", "out_channels", "stride", "layers"]
      : ["in_channels", "out_channels", "stride", "bottleneck", "layers"];
  }

  function roundToEight(width) {
    const eighths = width / 8;
    const rounded = Math.abs(eighths % 1) === 0.5 ? 2 * Math.round(eighths / 2) : Math.round(eighths);
    return Math.max(8, 8 * rounded);
  }

  function digitsAt(text, position) {
    const pattern = /\d+/y;
    pattern.lastIndex = position;
    return pattern.exec(text)?.[0] ?? "";
  }

  // How far one kind of name matches at a position, and its numbers if it matches to the end.
  function matchName([kind, ...parts], text, start) {
    const block = { kind };
    const places = {};
    let position = start;
    for (const [index, part] of parts.entries()) {
      if (index % 2 === 0) {
        let same = 0;
        while (same < part.length && text[position + same] === part[same]) same++;
        position += same;
        if (same < part.length) return { position };
      } else {
        const digits = digitsAt(text, position);
        if (!digits) return { position };
        if (part === "again" && Number(digits) !== block.kernel)
          return { position, unequal: `needed the kernel of the first convolution, ${block.kernel}, again in the second of a residual block` };
        if (part !== "again") [block[part], places[part]] = [Number(digits), position];
        position += digits.length;
      }
    }
    return text[position] === "(" ? { position, block, places } : { position };
  }

  function readName(text, start) {
    const tried = NAMES.map((name) => matchName(name, text, start));
    const found = tried.find((match) => match.block);
    if (found) return found;
    const furthest = tried.reduce((best, match) => (match.position > best.position ? match : best));
    throw new StructureError(text, furthest.position, furthest.unequal ?? `needed a block name (${KNOWN})`);
  }

  function readNumbers(text, start, block, places) {
    const names = fieldsOf(block.kind);
    let position = start;
    for (const [index, name] of names.entries()) {
      const opening = index === 0 ? "(" : ",";
      if (text[position] !== opening) throw new StructureError(text, position, `needed '${opening}' before ${name} (${names.join(", ")})`);
      const digits = digitsAt(text, position + 1);
      if (!digits) throw new StructureError(text, position + 1, `needed a whole number for ${name} (${names.join(", ")})`);
      [block[name], places[name]] = [Number(digits), position + 1];
      position += 1 + digits.length;
    }
    if (text[position] !== ")") throw new StructureError(text, position, `needed ')' after ${names.at(-1)}`);
    return position + 1;
  }

  function checkBlock(text, block, places) {
    for (const [name, position] of Object.entries(places)) {
      if (block[name] < 1) throw new StructureError(text, position, `${name}: needed a whole number of at least 1, got ${block[name]}`);
      if (block[name] > LARGEST[name])
        throw new StructureError(text, position, `${name}: this page takes up to ${LARGEST[name]}, got ${block[name]}; use zenlib itself`);
    }
    if (block.kernel % 2 === 0) throw new StructureError(text, places.kernel, `kernel: needed an odd side, got ${block.kernel}`);
  }

  function pastSpace(text, position) {
    while (position < text.length && /\s/.test(text[position])) position++;
    return position;
  }

  // The blocks of a structure string; white space between blocks is ignored.
  function parse(text) {
    const blocks = [];
    let position = pastSpace(text, 0);
    if (position === text.length) throw new StructureError(text, 0, "needed at least one block, got an empty text");
    while (position < text.length) {
      const begin = position;
      const { block, places, position: named } = readName(text, position);
      position = readNumbers(text, named, block, places);
      const before = blocks.at(-1);
      if (before && block.in_channels !== before.out_channels)
        throw new StructureError(
          text, places.in_channels, `needed ${before.out_channels} input channels, which is what the block before gives`,
        );
      checkBlock(text, block, places);
      if (blocks.length === MOST_BLOCKS)
        throw new StructureError(text, begin, `this page takes up to ${MOST_BLOCKS} blocks; use zenlib itself`);
      blocks.push({ expansion: 0, bottleneck: 0, ...block });
      position = pastSpace(text, position);
    }
    return blocks;
  }

  function print(blocks) {
    return blocks.map((block) => {
      const k = block.kernel;
      const name = {
        conv: `SuperConvK${k}BNRELU`,
        residual: `SuperResK${k}K${k}`,
        bottleneck: `SuperResK1K${k}K1`,
        inverted: `SuperResIDWE${block.expansion}K${k}`,
      }[block.kind];
      return `${name}(${fieldsOf(block.kind).map((field) => block[field]).join(",")})`;
    }).join("");
  }

  function conv(inChannels, outChannels, kernel, stride = 1, groups = 1) {
    return { inChannels, outChannels, kernel, stride, groups, weights: outChannels * (inChannels / groups) * kernel ** 2 };
  }

  // One plain convolution, or one residual unit with the projection of its shortcut.
  function unit(block, widthIn, widthOut, inner, stride, first) {
    const k = block.kernel;
    if (block.kind === "conv") return { convs: [conv(widthIn, widthOut, k, stride)], projection: null };
    const groups = block.kind === "inverted" ? inner : 1;
    const convs = block.kind === "residual"
      ? [conv(widthIn, inner, k, stride), conv(inner, widthOut, k)]
      : [conv(widthIn, inner, 1), conv(inner, inner, k, stride, groups), conv(inner, widthOut, 1)];
    const projects = first || stride > 1 || widthIn !== widthOut;
    return { convs, projection: projects ? conv(widthIn, widthOut, 1, stride) : null };
  }

  function unitWidths(block) {
    const { kind, layers, bottleneck, out_channels: width, expansion } = block;
    const once = {
      conv: [[width, 0]],
      residual: [[width, bottleneck]],
      bottleneck: [[width, bottleneck], [width, bottleneck]],
      inverted: [[bottleneck, roundToEight(bottleneck * expansion)], [width, roundToEight(width * expansion)]],
    }[kind];
    return Array.from({ length: layers }, () => once).flat();
  }

  function unitsOf(block) {
    const units = [];
    let [widthIn, stride] = [block.in_channels, block.stride];
    for (const [widthOut, inner] of unitWidths(block)) {
      units.push(unit(block, widthIn, widthOut, inner, stride, units.length === 0));
      [widthIn, stride] = [widthOut, 1];
    }
    return units;
  }

  // Every unit with its block's number and the side of the map that it takes in.
  function units(blocks, resolution) {
    const found = [];
    let side = resolution;
    for (const [number, block] of blocks.entries()) {
      for (const one of unitsOf(block)) {
        found.push({ ...one, side, block: number });
        for (const { stride } of one.convs) {
          if (side < stride) throw new RangeError(`These strides need images of at least ${smallestSide(blocks)} pixels; these have ${resolution}.`);
          side = Math.ceil(side / stride);
        }
      }
    }
    return found;
  }

  function smallestSide(blocks) {
    const strides = blocks.map((block) => block.stride).reverse();
    return strides.reduce((side, stride) => Math.max(stride, stride * (side - 1) + 1), 1);
  }

  // Trainable parameters without gates: kernels, BatchNorm, projections with bias and BatchNorm, classifier.
  function params(blocks, classes) {
    let total = (blocks.at(-1).out_channels + 1) * classes;
    for (const { convs, projection } of blocks.flatMap(unitsOf)) {
      for (const { weights, outChannels } of convs) total += weights + 2 * outChannels;
      if (projection) total += projection.weights + 3 * projection.outChannels;
    }
    return total;
  }

  // Multiply-adds of one image: convolutions, projections and the classifier.
  function flops(blocks, resolution, classes) {
    let total = blocks.at(-1).out_channels * classes;
    for (const { convs, projection, side: before } of units(blocks, resolution)) {
      let side = before;
      for (const { weights, stride } of convs) {
        side = Math.ceil(side / stride);
        total += weights * side ** 2;
      }
      if (projection) total += projection.weights * side ** 2;
    }
    return total;
  }

  function depth(blocks) {
    return blocks.reduce((sum, block) => sum + block.layers, 0);
  }

  Object.assign(zenlib, { KINDS, StructureError, depth, flops, params, parse, print, units });
});
