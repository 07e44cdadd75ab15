// The expected Zen-Score by arithmetic: L1, mini-batch variance of 16 images, perturbation 0.01. Follows zenlib/closed_form.py,
// without poolings, which structure strings do not have.
(globalThis.zenlibParts ??= []).push(function (zenlib) {
  "use strict";

  const { M1_SQUARED, M2, border, units } = zenlib;
  const CENTRED = M2 - M1_SQUARED;
  const KURTOSIS = 5.405733;
  const OVERLAP_KEPT = (0.25 / CENTRED) ** 2;
  const CHANGE_KEPT = 0.125 / CENTRED;
  const IMAGE_BRAKE = 0.5;
  const OVERLAP_BRAKE = 2;
  const STEPS = 512;
  const PERTURBATION = 0.01;
  // Upper quantiles of the normal distribution at (i + 1/2) / 16, which stand for the 16 images of a batch.
  const QUANTILES = [
    1.862731867421651, 1.3180108973035367, 1.009990169249582, 0.7764217611479276,
    0.579132162255556, 0.40225006532172525, 0.2372021093287877, 0.0784124127331122,
  ];

  // 1/2 - kappa(1 - delta) = delta (1/2 - sqrt(delta) (c0 + c1 delta + c2 delta^2 + c3 delta^3))
  const KERNEL = [1, 2, 6].map((choose, n) => ((Math.SQRT2 / (2 * Math.PI)) * choose) / 8 ** n / (2 * n + 1) / (n + 1.5));
  KERNEL.push(M1_SQUARED - KERNEL[0] - KERNEL[1] - KERNEL[2]);

  function between(point, xs, ys) {
    const index = xs.findIndex((x, i) => i > 0 && x >= point);
    if (index < 0) return ys.at(-1);
    return ys[index - 1] + ((point - xs[index - 1]) / (xs[index] - xs[index - 1])) * (ys[index] - ys[index - 1]);
  }

  // E[sqrt q]^2 of the images against the relative variance of their mean q.
  function imageRatios() {
    const sum = (values, of) => values.reduce((total, value) => total + of(value), 0);
    let images = [...QUANTILES.map((x) => 1 - 0.01 * x), ...QUANTILES.map((x) => 1 + 0.01 * x).reverse()];
    const count = images.length;
    let top = (count - 1) / 2;
    const [spreads, ratios] = [[0], [1]];
    while (spreads.at(-1) < top && spreads.length < 400) {
      const mean = sum(images, (q) => q) / count;
      images = images.map((q) => q / mean);
      const s = sum(images, Math.sqrt) / count;
      spreads.push(sum(images, (q) => q * q) / count - 1);
      ratios.push(s * s);
      const centre = M2 - M1_SQUARED * s * s;
      images = images.map((q) =>
        Math.max(0.02, 1 + 1.07 * ((M2 * q - 2 * M1_SQUARED * s * Math.sqrt(q) + M1_SQUARED * s * s) / centre - 1)));
    }
    top = Math.min(top, spreads.at(-1));
    const values = Array.from({ length: STEPS + 1 }, (_, i) => between((top * i) / STEPS, spreads, ratios));
    return { values: [...values, values.at(-1)], top };
  }

  const RATIOS = imageRatios();

  function imageRatio(image) {
    const position = (image * STEPS) / RATIOS.top;
    const index = Math.floor(position);
    const next = RATIOS.values[index + 1] ?? RATIOS.values[index];
    return RATIOS.values[index] + (position - index) * (next - RATIOS.values[index]);
  }

  // The convolutions in order, with the block that each belongs to and the sides of its maps.
  function convolutions(blocks, resolution) {
    return units(blocks, resolution).flatMap(({ convs, side: before, block }) => {
      let side = before;
      return convs.map((conv) => {
        const placed = { ...conv, block, side, outSide: Math.ceil(side / conv.stride) };
        side = placed.outSide;
        return placed;
      });
    });
  }

  function numbersOf({ inChannels, outChannels, groups, kernel, stride, outSide }) {
    const fan = inChannels / groups;
    const area = kernel ** 2;
    const rest = (1 - 1 / fan) / area;
    return {
      fan,
      perChannel: 1 / inChannels,
      alone: 1 / (fan * area),
      overlapKept: rest * OVERLAP_KEPT,
      changeKept: rest * CHANGE_KEPT,
      own: 1 + ((KURTOSIS - 1) * (1 / fan - 1 / inChannels)) / area,
      wider: area - 1,
      reduction: stride ** 2,
      perPosition: 1 / outSide ** 2,
      perOutput: 0.5 / outChannels,
    };
  }

  // What is known after the first convolution. Images are Gaussian: no ReLU, no mean, no pattern before it.
  function begin(numbers, edge) {
    const { fan, alone, wider, reduction, perPosition, perOutput } = numbers;
    const length = Math.sqrt(1 + PERTURBATION ** 2);
    const spread = 2 * alone;
    const store = Math.max((spread * (1 + wider)) / reduction, spread);
    const y = 1 + Math.max(0, spread - store * perPosition);
    const x = y / (1 + 2 * alone);
    return {
      delta: PERTURBATION ** 2 / (length * (length + 1)),
      store, spread, y, x,
      image: (2 / fan) * edge.imageSeed,
      overlap: alone,
      changeOverlap: alone,
      pattern: 0,
      ratio: Math.max(0.2, 2 * x - 1) ** -0.125,
      logSigma: 0.5 * Math.log(fan * edge.taps) - alone * perOutput,
    };
  }

  // The same after one more convolution; the comments of zenlib/closed_form.py say what each line is.
  function step(state, numbers, edge) {
    const { fan, perChannel, alone, overlapKept, changeKept, own, wider, reduction, perPosition, perOutput } = numbers;
    const { delta: d } = state;
    const perTap = M2 - state.ratio * (edge.shared + state.pattern * edge.patternShared);
    const passed = d * (0.5 - Math.sqrt(d) * (KERNEL[0] + d * (KERNEL[1] + d * (KERNEL[2] + d * KERNEL[3]))));

    const rise = (KURTOSIS * state.x - state.y) * perChannel;
    let store = state.store + rise;
    let spread = state.spread + rise;
    if (wider) spread = store / (store / spread + wider);
    if (reduction > 1) store = Math.max(store / reduction, spread);
    const local = spread - store * perPosition;
    const y = local > 0 ? own + own * local : own;

    const overlap = alone + overlapKept * state.overlap;
    const changeOverlap = alone + changeKept * state.changeOverlap;
    const strength = edge.fresh + edge.carried * state.pattern;
    const alike = overlap + strength ** 2;
    const delta = Math.min(1, (passed / perTap) * (1 + edge.perturbed * (1 - d)) * (1 + 2 * (alike - changeOverlap)));
    const x = y / (1 + 2 * alike);

    const grown = (state.image + rise * edge.imageSeed) * (1 + edge.imageGain / (1 + IMAGE_BRAKE * state.image));
    const image = Math.min(RATIOS.top, grown * (1 - OVERLAP_BRAKE * alike ** 2));
    const ratio = Math.max(0.2, 2 * x - 1) ** -0.125 * (image > 0.01 ? imageRatio(image) : 1 - 0.25 * image);
    const logSigma = 0.5 * Math.log(fan * edge.taps * perTap) - alike * perOutput;
    return { delta, store, spread, y, x, image, overlap, changeOverlap, pattern: strength / edge.reference, ratio, logSigma };
  }

  // The score in nats with its terms: log Delta, and log sigma and delta of each convolution.
  function closedForm(blocks, resolution) {
    const convs = convolutions(blocks, resolution);
    const layers = [];
    let state = null;
    let edge = { age: 0 };
    for (const conv of convs) {
      edge = border(conv.side, conv.kernel, conv.stride, conv.outSide, edge.age);
      state = state ? step(state, numbersOf(conv), edge) : begin(numbersOf(conv), edge);
      layers.push({ ...conv, logSigma: state.logSigma, delta: state.delta });
    }
    const { outChannels, outSide } = convs.at(-1);
    const root = edge.perturbedRoot + (edge.root - edge.perturbedRoot) * state.delta;
    const size = outChannels * outSide ** 2;
    const logDelta = Math.log(size * Math.sqrt(2 * state.delta * M1_SQUARED) * root) + 0.5 * Math.log(state.ratio);
    return { score: logDelta + layers.reduce((sum, { logSigma }) => sum + logSigma, 0), logDelta, layers };
  }

  Object.assign(zenlib, { closedForm });
});
