// What other scores are on average over draws, by the formulas of zenlib/scores/formulas: one walk through the operations of a
// network for the mean-field maps, one for the sums over paths. A network of structure strings has no pooling and no correlation
// between neighbours, which leaves a few numbers for each map.
(globalThis.zenlibParts ??= []).push(function (zenlib) {
  "use strict";

  const IMAGES = 16;
  const CLASSES = 10;
  const GAIN = 2;
  const EULER = 0.5772156649015329;
  const { units } = zenlib;
  const total = (values) => values.reduce((sum, value) => sum + value, 0);

  // Calls the rules in the order of the operations. Each takes maps and gives one; what they keep is their own affair.
  function walk(blocks, resolution, image, { conv, norm = (map) => map, relu, add, end = () => {} }) {
    let last = image;
    for (const { convs, projection, side: before } of units(blocks, resolution)) {
      let [map, side] = [last, before];
      const next = (read, one, from) => {
        const outSide = Math.ceil(from / one.stride);
        const values = one.outChannels * outSide ** 2;
        return norm(conv(read, { ...one, side: from, outSide, values, fan: (one.inChannels / one.groups) * one.kernel ** 2 }));
      };
      convs.forEach((one, i) => {
        map = next(i ? relu(map) : map, one, side);
        side = Math.ceil(side / one.stride);
      });
      if (convs.length > 1) map = add(map, projection ? next(last, projection, before) : last);
      last = relu(map);
      end(last);
    }
    return last;
  }

  // The error function for x >= 0, a series without cancellation.
  function erf(x) {
    if (x > 6) return 1;
    let [term, sum] = [x, x];
    for (let n = 1; term > 1e-18 * sum; n++) sum += term *= (2 * x * x) / (2 * n + 1);
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }

  // Mean in units of the spread, and distribution and density of N(0, 1) there.
  function threshold({ mean, variance }) {
    const t = mean / Math.sqrt(variance);
    return { t, on: 0.5 * (1 + erf(t / Math.SQRT2)), density: Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI) };
  }

  // For taps along both axes, the mean share of outputs with a tap inside, and of its square.
  function shares({ side, kernel, stride, outSide }) {
    let [share, squared] = [0, 0];
    for (let tap = 0; tap < kernel; tap++) {
      let inside = 0;
      for (let at = 0; at < outSide; at++) {
        const place = at * stride - (kernel - 1) / 2 + tap;
        inside += place >= 0 && place < side;
      }
      share += inside / outSide / kernel;
      squared += (inside / outSide) ** 2 / kernel;
    }
    return { share: share ** 2, squared: squared ** 2 };
  }

  // Every convolution and every rectifier with its map: see forward.py.
  function meanField(blocks, resolution) {
    const [convs, rectified, ends] = [[], [], []];
    walk(blocks, resolution, { variance: 1, square: 0, mean: 0, overlap: 0, shared: 0, noise: [1 / Math.sqrt(blocks[0].in_channels * resolution ** 2)] }, {
      conv(read, one) {
        const { share, squared } = shares(one);
        const [plain, taps] = [GAIN * read.variance * share, one.kernel ** 2];
        const variance = plain + GAIN * read.square * (share - squared);
        const kept = plain / variance;
        let overlap = 1 / one.fan + (1 - taps / one.fan) * read.overlap / taps;
        if (one.groups > 1) overlap = read.overlap / taps + overlap / one.groups;
        const noise = read.noise.map((loading) => kept * loading);
        noise[convs.length + 1] = 1 / Math.sqrt(one.values);
        const map = { variance, square: GAIN * read.square * squared, mean: 0, overlap: Math.min(1, overlap), shared: 1 - kept * (1 - read.shared), noise };
        Object.assign(map, { channels: one.outChannels, side: one.outSide });
        convs.push({ ...one, map });
        return map;
      },
      norm: (read) => ({ ...read, variance: 1, square: 0 }),
      relu(read) {
        rectified.push(read);
        const { t, on, density } = threshold(read);
        const mean = Math.sqrt(read.variance) * (t * on + density);
        const variance = read.variance * ((1 + t * t) * on + t * density) - mean ** 2;
        const linear = (on * on * read.variance) / variance;
        const noise = read.noise.map((loading) => linear * loading);
        return { ...read, variance, square: mean ** 2, mean, overlap: linear ** 2 * read.overlap, shared: linear * read.shared, noise };
      },
      add(first, second) {
        const [variance, mean] = [first.variance + second.variance, first.mean + second.mean];
        const [a, b] = [first.variance / variance, second.variance / variance];
        const square = mean ** 2 + first.square - first.mean ** 2 + second.square - second.mean ** 2;
        const noise = Array.from({ length: Math.max(first.noise.length, second.noise.length) }, (_, i) => a * (first.noise[i] ?? 0) + b * (second.noise[i] ?? 0));
        const overlap = a * a * first.overlap + b * b * second.overlap;
        return { ...first, variance, mean, square, overlap, shared: a * first.shared + b * second.shared, noise };
      },
      end: (map) => ends.push(map),
    });
    return { convs, rectified, ends };
  }

  function naswot(rectified, reluUnits) {
    let alike = 0;
    const chance = [];
    for (const read of rectified) {
      const { t, on } = threshold(read);
      const weight = (read.channels * read.side ** 2) / reluUnits;
      const slope = Math.exp(-t * t) / Math.PI;
      const rho = read.shared - (1 - read.shared) / (IMAGES * read.side ** 2);
      alike += weight * (on ** 2 + (1 - on) ** 2 + rho * slope);
      read.noise.forEach((loading, i) => (chance[i] = (chance[i] ?? 0) + weight * slope * loading));
    }
    const variance = total(chance.map((loading) => loading ** 2)) + (0.25 - 1 / Math.PI ** 2) / reluUnits;
    const ratio = Math.min(0.999, (IMAGES * variance) / (1 - alike) ** 2);
    const spread = -1 - ((1 - ratio) / ratio) * Math.log1p(-ratio);
    const logs = IMAGES * Math.log(reluUnits) + (IMAGES - 1) * Math.log(1 - alike) + Math.log1p((IMAGES - 1) * alike);
    return logs + IMAGES * spread;
  }

  // By how much the channels of a map exceed its participation ratio, relative to that.
  function excess({ channels, side, overlap }) {
    return Math.max(1e-9, (channels - 1) * (overlap + 1 / (IMAGES * side ** 2)));
  }

  function entropy(map) {
    const y = excess(map);
    return Math.log(map.channels) - (y <= 1 ? y / 2 : Math.log(y) + 1 / (2 * y));
  }

  // Windows along the rows of a grid; what comes out lies transposed.
  function along(grid, side, rows, { kernel, stride, outSide }) {
    const out = new Float64Array(outSide * rows);
    for (let at = 0; at < outSide; at++) {
      const from = at * stride - (kernel - 1) / 2;
      for (let row = 0; row < rows; row++)
        for (let place = Math.max(0, from); place < Math.min(side, from + kernel); place++) out[at * rows + row] += grid[row * side + place];
    }
    return out;
  }

  // Sums over paths at each position, the same with each path times its number of weights, and the log of a factor: see paths.py.
  function synflow(blocks, resolution) {
    const size = resolution ** 2;
    const { sums, counted, log } = walk(blocks, resolution, { sums: new Float64Array(size).fill(1), counted: new Float64Array(size), log: 0 }, {
      conv(read, one) {
        const windows = (grid) => along(along(grid, one.side, one.side, one), one.side, one.outSide, one);
        const [sums, counted] = [windows(read.sums), windows(read.counted.map((value, i) => value + read.sums[i]))];
        const top = sums.reduce((most, value) => Math.max(most, value));
        const factor = ((one.fan / one.kernel ** 2) * 2) / Math.sqrt(Math.PI * one.fan);
        return { sums: sums.map((value) => value / top), counted: counted.map((value) => value / top), log: read.log + Math.log(top * factor) };
      },
      relu: (read) => read,
      add(first, second) {
        const log = Math.max(first.log, second.log);
        const [a, b] = [Math.exp(first.log - log), Math.exp(second.log - log)];
        const plus = (name) => first[name].map((value, i) => a * value + b * second[name][i]);
        return { sums: plus("sums"), counted: plus("counted"), log };
      },
    });
    const width = blocks.at(-1).out_channels;
    const head = (width * CLASSES * 2) / Math.sqrt(Math.PI * width);
    return log + Math.log((head * (total(sums) + total(counted))) / sums.length);
  }

  // Standard deviation over largest size of a number of Gaussian values.
  function evenness(count) {
    const log = Math.log(2 * count);
    const root = Math.sqrt(2 * log);
    return Math.min(1, 1 / (root - (Math.log(log) + Math.log(4 * Math.PI) - 2 * EULER) / (2 * root)));
  }

  function intrain(convs, participation) {
    const even = total(convs.map((one) => evenness(one.weights) + 2 * evenness(one.outChannels)));
    const classifier = evenness(CLASSES * convs.at(-1).outChannels) + evenness(CLASSES);
    return (participation * (1 + even + classifier)) / Math.log(convs.length + 1);
  }

  // Counts, and scores on average over draws of 16 images with 10 classes.
  function formulas(blocks, resolution) {
    const { convs, rectified, ends } = meanField(blocks, resolution);
    const reluUnits = total(rectified.map((read) => read.channels * read.side ** 2));
    const participation = total(convs.map(({ map }) => Math.log(map.channels) - Math.log1p(excess(map))));
    return {
      "relu-units": reluUnits,
      activations: total(convs.map((one) => one.values)),
      "log-width": total(convs.map((one) => Math.log(one.outChannels))),
      "log-fan-in": total(convs.map((one) => Math.log(one.fan))),
      naswot: naswot(rectified, reluUnits),
      synflow: synflow(blocks, resolution),
      "az-expressivity": total(ends.map(entropy)),
      intrain: intrain(convs, participation),
    };
  }

  Object.assign(zenlib, { formulas });
});
