// What zero padding does to a random network's feature maps. Follows zenlib/border.py, whose docstrings say what is what.
(globalThis.zenlibParts ??= []).push(function (zenlib) {
  "use strict";

  const M1_SQUARED = 1 / (2 * Math.PI);
  const M2 = 0.5;
  const OLDEST = 128;
  const SETTLED = 1e-5;
  const RANK = 6;
  const LARGEST_PATTERN = 32;

  // Results by their arguments, for functions of numbers alone.
  function cached(compute) {
    const known = new Map();
    return (...numbers) => {
      const key = numbers.join();
      if (!known.has(key)) known.set(key, compute(...numbers));
      return known.get(key);
    };
  }

  function mean(values) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += values[i];
    return sum / values.length;
  }

  function meanSquareOf(values, scale) {
    let sum = 0;
    for (let i = 0; i < values.length; i++) sum += (values[i] / scale) ** 2;
    return sum / values.length;
  }

  // Calls use(tap, what) for each tap of the kernel, `what` being what the tap sees at each output, 0 beyond the border.
  // A window is kernel, stride and the side of the output; padding is (kernel - 1) / 2.
  function eachTap(field, side, kernel, stride, outSide, use) {
    const padding = (kernel - 1) / 2;
    const seen = new Float64Array(outSide * outSide);
    for (let tap = 0; tap < kernel * kernel; tap++) {
      const [down, right] = [Math.floor(tap / kernel) - padding, (tap % kernel) - padding];
      for (let row = 0; row < outSide; row++) {
        const from = row * stride + down;
        const inside = from >= 0 && from < side;
        for (let column = 0; column < outSide; column++) {
          const at = column * stride + right;
          seen[row * outSide + column] = inside && at >= 0 && at < side ? field[from * side + at] : 0;
        }
      }
      use(tap, seen);
    }
  }

  function variance(before, side, kernel, stride, outSide) {
    const after = new Float64Array(outSide * outSide);
    let [taps, squares] = [0, 0];
    eachTap(before.variance, side, kernel, stride, outSide, (_, seen) => {
      let sum = 0;
      for (let i = 0; i < seen.length; i++) sum += Math.sqrt(seen[i]);
      const average = sum / seen.length;
      for (let i = 0; i < seen.length; i++) after[i] += M2 * seen[i] - 2 * M1_SQUARED * average * Math.sqrt(seen[i]);
      squares += average ** 2;
      taps += mean(seen);
    });
    for (let i = 0; i < after.length; i++) after[i] += M1_SQUARED * squares;
    return { after, taps, squares };
  }

  function perturbation(before, side, kernel, stride, outSide) {
    const after = new Float64Array(outSide * outSide);
    eachTap(before.perturbation, side, kernel, stride, outSide, (_, seen) => {
      for (let i = 0; i < seen.length; i++) after[i] += seen[i];
    });
    return after;
  }

  function image(before, side, kernel, stride, outSide) {
    const after = new Float64Array(outSide * outSide);
    const roots = before.variance.map(Math.sqrt);
    const means = tapMeans(roots, side, kernel, stride, outSide);
    eachTap(before.image, side, kernel, stride, outSide, (_, seen) => {
      for (let i = 0; i < seen.length; i++) after[i] += M2 * seen[i];
    });
    eachTap(before.image.map((value, i) => value / roots[i]), side, kernel, stride, outSide, (tap, seen) => {
      for (let i = 0; i < seen.length; i++) after[i] -= M1_SQUARED * means[tap] * seen[i];
    });
    return after;
  }

  function tapMeans(field, side, kernel, stride, outSide) {
    const means = [];
    eachTap(field, side, kernel, stride, outSide, (_, seen) => means.push(mean(seen)));
    return means;
  }

  function normalised(field) {
    const average = mean(field);
    return field.map((value) => value / average);
  }

  // u, D and phi on a map after `age` convolutions of 3x3 on a flat map.
  const fields = cached((side, age) => {
    if (age === 0) {
      const flat = new Float64Array(side * side).fill(1);
      return { variance: flat, perturbation: flat, image: flat };
    }
    const before = fields(side, age - 1);
    return {
      variance: normalised(variance(before, side, 3, 1, side).after),
      perturbation: normalised(perturbation(before, side, 3, 1, side)),
      image: normalised(image(before, side, 3, 1, side)),
    };
  });

  const meanSquare = cached((side, age) => meanSquareOf(fields(side, age).variance, 1));

  function nearestAge(side, wanted) {
    let age = 0;
    while (age < OLDEST && meanSquare(side, age) < wanted && meanSquare(side, age + 1) - meanSquare(side, age) > SETTLED) age++;
    const younger = Math.max(0, age - 1);
    return Math.abs(meanSquare(side, younger) - wanted) <= Math.abs(meanSquare(side, age) - wanted) ? younger : age;
  }

  const imageSeed = cached((side, age) => {
    const now = fields(side, age);
    const roots = now.variance.map(Math.sqrt);
    const means = tapMeans(roots, side, 3, 1, side).reverse();
    let left = new Float64Array(side * side).fill(1 / side ** 2);
    for (let step = 0; step < 12; step++) {
      const next = new Float64Array(left.length);
      eachTap(left, side, 3, 1, side, (tap, seen) => {
        for (let i = 0; i < seen.length; i++) next[i] += M2 * seen[i] - (M1_SQUARED * means[tap] * seen[i]) / roots[i];
      });
      let sum = 0;
      for (let i = 0; i < next.length; i++) sum += next[i] * now.image[i];
      left = next.map((value) => value / sum);
    }
    let total = 0;
    for (let i = 0; i < left.length; i++) total += (left[i] * now.variance[i]) ** 2;
    return total;
  });

  // The tap's view of each field with its mean removed, times `scale`: one row for each field and tap.
  function centredRows(allFields, side, kernel, stride, outSide, scale) {
    const rows = [];
    for (const field of allFields) {
      eachTap(field, side, kernel, stride, outSide, (_, seen) => {
        const average = mean(seen);
        rows.push(seen.map((value) => (value - average) * scale));
      });
    }
    return rows;
  }

  function freshRows(side, age, kernel, stride, outSide) {
    const before = fields(side, age);
    const norm = mean(variance(before, side, kernel, stride, outSide).after);
    return centredRows([before.variance.map(Math.sqrt)], side, kernel, stride, outSide, Math.sqrt(M1_SQUARED / norm));
  }

  function carriedRows(side, age, kernel, stride, outSide) {
    const norm = mean(variance(fields(side, age), side, kernel, stride, outSide).after);
    return centredRows(pattern(side, age), side, kernel, stride, outSide, Math.sqrt(0.25 / norm));
  }

  // Products of all pairs of rows, two by two: most of the time of this page is spent here.
  function gram(rows) {
    const products = rows.map(() => new Float64Array(rows.length));
    const length = rows[0].length;
    for (let i = 0; i < rows.length; i += 2) {
      const i1 = Math.min(i + 1, rows.length - 1);
      const u0 = rows[i];
      const u1 = rows[i1];
      for (let j = 0; j <= i; j += 2) {
        const j1 = Math.min(j + 1, rows.length - 1);
        const v0 = rows[j];
        const v1 = rows[j1];
        let s00 = 0;
        let s01 = 0;
        let s10 = 0;
        let s11 = 0;
        for (let p = 0; p < length; p++) {
          const a = u0[p];
          const b = u1[p];
          const c = v0[p];
          const d = v1[p];
          s00 += a * c;
          s01 += a * d;
          s10 += b * c;
          s11 += b * d;
        }
        products[i][j] = products[j][i] = s00;
        products[i][j1] = products[j1][i] = s01;
        products[i1][j] = products[j][i1] = s10;
        products[i1][j1] = products[j1][i1] = s11;
      }
    }
    return products;
  }

  function transposed(rows) {
    const columns = Array.from(rows[0], () => new Float64Array(rows.length));
    for (let i = 0; i < rows.length; i++) for (let p = 0; p < columns.length; p++) columns[p][i] = rows[i][p];
    return columns;
  }

  // Root mean square over all pairs of positions of the products of rows.
  function strength(rows) {
    const positions = rows[0].length;
    let sum = 0;
    for (const line of gram(rows.length < positions ? rows : transposed(rows)))
      for (let i = 0; i < line.length; i++) sum += line[i] * line[i];
    return Math.sqrt(sum) / positions;
  }

  // Turns two vectors in their plane: c and s are cosine and sine of the angle.
  function turn(first, second, c, s) {
    for (let k = 0; k < first.length; k++) {
      const a = first[k];
      const b = second[k];
      first[k] = c * a - s * b;
      second[k] = s * a + c * b;
    }
  }

  // Makes the entry (i, j) of a symmetric matrix vanish, and keeps the turn in `vectors`.
  function annihilate(matrix, vectors, i, j) {
    const rowI = matrix[i];
    const rowJ = matrix[j];
    const entry = rowI[j];
    const theta = (rowJ[j] - rowI[i]) / (2 * entry);
    const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
    const c = 1 / Math.sqrt(t * t + 1);
    const first = rowI[i] - t * entry;
    const second = rowJ[j] + t * entry;
    turn(rowI, rowJ, c, t * c);
    turn(vectors[i], vectors[j], c, t * c);
    rowI[i] = first;
    rowJ[j] = second;
    rowI[j] = rowJ[i] = 0;
    for (let k = 0; k < matrix.length; k++) {
      matrix[k][i] = rowI[k];
      matrix[k][j] = rowJ[k];
    }
  }

  // Eigenvectors of a symmetric matrix by Jacobi's method, those of the largest eigenvalues first.
  function eigenvectors(matrix) {
    const size = matrix.length;
    const vectors = matrix.map((_, i) => new Float64Array(size).fill(1, i, i + 1));
    const negligible = 1e-17 * matrix.reduce((sum, row, i) => sum + row[i], 0);
    for (let sweep = 0, turned = 1; sweep < 30 && turned > 0; sweep++) {
      turned = 0;
      for (let i = 0; i < size; i++)
        for (let j = i + 1; j < size; j++)
          if (Math.abs(matrix[i][j]) > negligible) {
            annihilate(matrix, vectors, i, j);
            turned++;
          }
    }
    return vectors.map((vector, i) => [matrix[i][i], vector]).sort((a, b) => b[0] - a[0]).map(([, vector]) => vector);
  }

  // Z of the chain of 3x3 convolutions; age 0 stands for the shape of age 1.
  const pattern = cached((side, age) => {
    const before = Math.max(0, age - 1);
    const rows = freshRows(side, before, 3, 1, side);
    if (age > 1) rows.push(...carriedRows(side, before, 3, 1, side));
    return eigenvectors(gram(rows)).slice(0, RANK).map((vector) => {
      const field = new Float64Array(side * side);
      vector.forEach((weight, i) => {
        for (let p = 0; p < field.length; p++) field[p] += weight * rows[i][p];
      });
      return field;
    });
  });

  function patternStrengths(side, age, kernel, stride, outSide, outAge) {
    if (Math.max(side, outSide) > LARGEST_PATTERN || outSide === 1) return { fresh: 0, carried: 0, reference: 1 };
    const rows = freshRows(side, age, kernel, stride, outSide);
    const fresh = strength(rows);
    const both = strength([...rows, ...carriedRows(side, age, kernel, stride, outSide)]);
    return { fresh, carried: both - fresh, reference: Math.max(1e-9, strength(pattern(outSide, outAge))) };
  }

  function patternShared(side, age, kernel, stride, outSide) {
    if (side > LARGEST_PATTERN) return 0;
    let sum = 0;
    for (const field of pattern(side, age)) for (const average of tapMeans(field, side, kernel, stride, outSide)) sum += average ** 2;
    return 0.25 * sum;
  }

  // What a convolution meets on a map of a given side and age.
  const border = cached((side, kernel, stride, outSide, age) => {
    const before = fields(side, age);
    const { after: spread, taps, squares } = variance(before, side, kernel, stride, outSide);
    const norm = mean(spread);
    const moves = kernel > 1 || stride > 1 || side !== outSide;
    const outAge = moves ? nearestAge(outSide, meanSquareOf(spread, norm)) : age;
    const after = fields(outSide, outAge);
    return {
      taps,
      shared: (M1_SQUARED * squares) / taps,
      patternShared: moves ? patternShared(side, age, kernel, stride, outSide) / taps : 0,
      perturbed: mean(perturbation(before, side, kernel, stride, outSide)) / taps - 1,
      imageGain: (mean(image(before, side, kernel, stride, outSide)) / norm) ** 2 - 1,
      imageSeed: imageSeed(side, age),
      ...patternStrengths(side, age, kernel, stride, outSide, outAge),
      age: outAge,
      root: mean(after.variance.map(Math.sqrt)),
      perturbedRoot: mean(after.perturbation.map(Math.sqrt)),
    };
  });

  Object.assign(zenlib, { M1_SQUARED, M2, border });
});
