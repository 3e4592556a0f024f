/* The page "Turn the knob": a classic script, because a page opened from disk loads no modules.
   Its data stand in the page, see loupe_companion/book/explorer.py. Masks and k-space are centred,
   with the zero frequency at [N/2, N/2]; Fourier transforms are orthonormal. */
(() => {
  "use strict";

  const BLUE = "#0072B2", YELLOW = "#E69F00", GREY = "#888888";
  const STEPS = 65535; // of a probability in 16 bits
  const ERROR = 0.1; // shown white
  const find = (id) => document.getElementById(id);

  // ---- Numbers ------------------------------------------------------------------------------

  /** The Fourier transform of images whose side n is a power of 2. */
  class Fourier {
    constructor(n) {
      this.n = n;
      this.cos = Float64Array.from({ length: n / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / n));
      this.sin = Float64Array.from({ length: n / 2 }, (_, k) => Math.sin((2 * Math.PI * k) / n));
      this.reversed = new Uint16Array(n); // bits of each index in reverse order
      for (let i = 0; i < n; i++) this.reversed[i] = (this.reversed[i >> 1] >> 1) | (i & 1 ? n >> 1 : 0);
    }

    /** Transform n complex numbers, `stride` apart, in place; sign -1 forwards, 1 backwards. */
    line(re, im, start, stride, sign) {
      const { n, cos, sin, reversed } = this;
      for (let i = 0; i < n; i++) {
        const j = reversed[i];
        if (i < j) {
          const a = start + i * stride, b = start + j * stride;
          [re[a], re[b]] = [re[b], re[a]];
          [im[a], im[b]] = [im[b], im[a]];
        }
      }
      for (let half = 1; half < n; half *= 2) {
        const turn = n / (2 * half);
        for (let first = 0; first < n; first += 2 * half) {
          for (let k = 0; k < half; k++) {
            const a = start + (first + k) * stride, b = a + half * stride;
            const c = cos[k * turn], s = sign * sin[k * turn];
            const x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
            re[b] = re[a] - x;
            im[b] = im[a] - y;
            re[a] += x;
            im[a] += y;
          }
        }
      }
    }

    /** Transform an image in place, orthonormally. */
    image(re, im, sign) {
      const n = this.n;
      for (let i = 0; i < n; i++) this.line(re, im, i * n, 1, sign);
      for (let i = 0; i < n; i++) this.line(re, im, i, n, sign);
      for (let i = 0; i < n * n; i++) {
        re[i] /= n;
        im[i] /= n;
      }
    }

    /** Move the zero frequency from [0, 0] to the middle, or back: the side is even. */
    shift(values) {
      const n = this.n, moved = new Float64Array(n * n);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j < n; j++) {
          moved[((i + n / 2) % n) * n + ((j + n / 2) % n)] = values[i * n + j];
        }
      }
      return moved;
    }
  }

  /** Uniform random numbers in [0, 1) (mulberry32), the same for the same seed. */
  function uniform(seed, count) {
    let state = seed >>> 0;
    return Float64Array.from({ length: count }, () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
    });
  }

  /** The relaxed mask M = sigmoid(s (P - U)). */
  const relax = (p, u, s) => p.map((value, i) => 1 / (1 + Math.exp(-s * (value - u[i]))));

  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const mean = (values) => sum(values) / values.length;

  /** Fractions of the values in equal bins over [0, 1]. */
  function histogram(values, bins) {
    const counts = new Float64Array(bins);
    for (const value of values) counts[Math.min(bins - 1, Math.floor(value * bins))]++;
    return counts.map((count) => count / values.length);
  }

  const soft = (m) => mean(m.map((value) => (value > 0.05 && value < 0.95 ? 1 : 0)));

  const psnr = (a, b) => -10 * Math.log10(mean(a.map((value, i) => (value - b[i]) ** 2)));

  /** k-space of an image, centred. */
  function kspace(fourier, x) {
    const re = Float64Array.from(x), im = new Float64Array(x.length);
    fourier.image(re, im, -1);
    return [fourier.shift(re), fourier.shift(im)];
  }

  /** Magnitudes of y = M F(x), centred, and of F^-1 y. */
  function measure(fourier, [re, im], mask) {
    const yr = re.map((value, i) => value * mask[i]), yi = im.map((value, i) => value * mask[i]);
    const zr = fourier.shift(yr), zi = fourier.shift(yi);
    fourier.image(zr, zi, 1);
    return { y: yr.map((v, i) => Math.hypot(v, yi[i])), image: zr.map((v, i) => Math.hypot(v, zi[i])) };
  }

  // ---- Pictures -----------------------------------------------------------------------------

  /** Paint n x n values, black at `low` and white at `high`. */
  function paint(canvas, values, low = 0, high = 1) {
    const n = Math.sqrt(values.length);
    if (canvas.width !== n || canvas.height !== n) [canvas.width, canvas.height] = [n, n];
    const context = canvas.getContext("2d");
    const picture = context.createImageData(n, n);
    const data = picture.data; // rounds and clips
    for (let i = 0; i < n * n; i++) {
      data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = ((values[i] - low) / (high - low)) * 255;
      data[4 * i + 3] = 255;
    }
    context.putImageData(picture, 0, 0);
  }

  function caption(canvas, text) {
    canvas.parentElement.querySelector("figcaption").textContent = text;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", text);
  }

  function show(canvas, text, values, low, high) {
    paint(canvas, values, low, high);
    caption(canvas, text);
  }

  /** A place for a chart: clears the canvas, draws the axes, returns how to place points. */
  function axes(canvas, x, y) {
    const ratio = window.devicePixelRatio || 1;
    const { width, height } = canvas.getBoundingClientRect();
    [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const box = { left: 34, right: width - 8, top: 8, bottom: height - 18 };
    const scale = (axis, from, to) => (value) => {
      const f = axis.log ? Math.log10 : (v) => v;
      const part = (f(value) - f(axis.low)) / (f(axis.high) - f(axis.low));
      return from + Math.min(1, Math.max(0, part)) * (to - from);
    };
    const px = scale(x, box.left, box.right), py = scale(y, box.bottom, box.top);
    pen.font = "10px sans-serif";
    pen.fillStyle = getComputedStyle(canvas).color;
    pen.strokeStyle = GREY;
    pen.lineWidth = 0.5;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const [value, text] of y.ticks) {
      pen.strokeRect(box.left, py(value), box.right - box.left, 0);
      pen.fillText(text, box.left - 3, py(value));
    }
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (const [value, text] of x.ticks) pen.fillText(text, px(value), box.bottom + 4);
    if (x.label) pen.fillText(x.label, (box.left + box.right) / 2, box.bottom + 4);
    pen.strokeRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    return { pen, px, py, box };
  }

  function line({ pen, px, py }, points, colour, steps = false) {
    pen.beginPath();
    points.filter(([, y]) => Number.isFinite(y)).forEach(([x, y], i, good) => {
      if (steps && i) pen.lineTo(px(x), py(good[i - 1][1]));
      pen.lineTo(px(x), py(y));
    });
    pen.strokeStyle = colour;
    pen.lineWidth = 1.5;
    pen.stroke();
  }

  function dot({ pen, px, py }, x, y, colour, radius = 2.5, ring = false) {
    if (!Number.isFinite(y)) return;
    pen.beginPath();
    pen.arc(px(x), py(y), radius, 0, 2 * Math.PI);
    pen.lineWidth = 2;
    pen[ring ? "strokeStyle" : "fillStyle"] = colour;
    ring ? pen.stroke() : pen.fill();
  }

  const SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const power = (k) => "10" + (k < 0 ? "⁻" : "") + SUPERSCRIPT[Math.abs(k)];

  /** A logarithmic axis of whole decades around the values. */
  function decades(values) {
    const good = values.filter((value) => value > 0 && Number.isFinite(value));
    const low = Math.floor(Math.log10(Math.min(...good)));
    const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...good))));
    const every = Array.from({ length: high - low + 1 }, (_, k) => low + k);
    return { log: true, low: 10 ** low, high: 10 ** high, ticks: every.map((k) => [10 ** k, power(k)]) };
  }

  const group = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  const slopeText = (s) => (s < 10 ? String(Number(s.toPrecision(2))) : group(Math.round(s)));
  const rate = (mask) => {
    const kept = sum(mask);
    return kept ? `R\u00a0=\u00a0${(mask.length / kept).toFixed(2)}` : "empty";
  };
  const percent = (part) => `${(100 * part).toFixed(1)}\u00a0%`;
  const decibel = (value) => (Number.isFinite(value) ? `${value.toFixed(2)}\u00a0dB` : "no number");

  // ---- Controls -----------------------------------------------------------------------------

  /** Fill a select; the choice stays if it is still offered. */
  function offer(select, choices) {
    const before = select.value;
    select.replaceChildren(...choices.map(([value, text]) => new Option(text, value)));
    if (choices.some(([value]) => String(value) === before)) select.value = before;
  }

  const distinct = (values) => [...new Set(values)];

  /** A function that draws at the next frame, however often it is called before. */
  function eachFrame(draw) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        draw();
      });
    };
  }

  async function inflate(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).arrayBuffer();
  }

  async function start() {
    const index = JSON.parse(find("explorer-index").textContent);
    const bytes = await inflate(find("explorer-data").textContent);
    const n = index.size, fourier = new Fourier(n);
    const [FIRST, SECOND] = index.slopes;

    const probabilities = (place, count) => {
      const low = new Uint8Array(bytes, place, count), high = new Uint8Array(bytes, place + count, count);
      return Float64Array.from(low, (byte, i) => (byte + 256 * high[i]) / STEPS);
    };
    const greys = (place, count) =>
      Float64Array.from(new Uint8Array(bytes, place, count), (level) => level / 255);
    const bits = (place, count) => {
      const packed = new Uint8Array(bytes, place, count / 8);
      return Float64Array.from({ length: count }, (_, i) => (packed[i >> 3] >> (7 - (i & 7))) & 1);
    };
    const threshold = (p) => p.map((value) => (value > 0.5 ? 1 : 0));
    const middle = (p) => p[p.length / 2 + Math.sqrt(p.length) / 2];

    const images = index.images.map((place) => probabilities(place, n * n));
    const spectra = images.map((image) => kspace(fourier, image));
    // The largest magnitude of each, as a power of 10: white in pictures of k-space.
    const whites = spectra.map(([re, im]) =>
      Math.log10(re.reduce((most, value, i) => Math.max(most, Math.hypot(value, im[i])), 0)));
    const named = (run) =>
      `${run.shrinks ? `${run.title} (s = ${slopeText(run.slope)})` : run.title}, seed ${run.seed}`;
    const accelerations = distinct(index.runs.map((run) => run.acceleration));
    const slices = images.map((_, i) => [i, `test slice ${i + 1}`]);

    // ---- The encoder, live

    const live = { run: index.first, s: FIRST, slice: 0, seed: 1 };

    /** All that the state gives, from P and U to the image. */
    function encode() {
      const m = relax(live.p, live.u, live.s);
      const { y, image } = measure(fourier, spectra[live.slice], m);
      return {
        m, y, image,
        mean: mean(m), soft: soft(m), histogram: histogram(m, index.bins),
        psnr: psnr(image, images[live.slice]),
      };
    }

    /** Change the state: run, slope s, slice, or the seed of U. */
    function choose(changes) {
      Object.assign(live, changes);
      if ("run" in changes || "seed" in changes) drawMasks();
      redrawLive();
    }

    /** Compute and show what does not depend on the slope. */
    function drawMasks() {
      const run = index.runs[live.run];
      live.p = probabilities(run.p, n * n);
      live.u = uniform(live.seed, n * n);
      const second = relax(live.p, live.u, SECOND);
      live.second = histogram(second, index.bins);
      const hard = threshold(live.p), exact = bits(run.budget, n * n);
      show(find("live-p"), `P: mean ${mean(live.p).toFixed(3)}, P(DC) ${middle(live.p).toFixed(2)}`, live.p);
      show(find("live-second"),
        `M at s = ${group(SECOND)}, to compare: ${percent(soft(second))} in (0.05, 0.95)`, second);
      show(find("live-threshold"), `P > 0.5: ${rate(hard)}`, hard);
      show(find("live-budget"), `The largest P, exact budget: ${rate(exact)}`, exact);
    }

    function drawLive() {
      const got = encode(), white = whites[live.slice];
      find("live-slope").textContent = slopeText(live.s);
      find("live-knob").setAttribute("aria-valuetext", `s = ${slopeText(live.s)}`);
      show(find("live-m"),
        `M at s = ${slopeText(live.s)}: mean ${got.mean.toFixed(3)}, ${percent(got.soft)} in (0.05, 0.95)`, got.m);
      show(find("live-y"), "|y|, logarithmic", got.y.map((value) => Math.log10(value) - white), -4, 0);
      show(find("live-image"), `|F⁻¹ y|: PSNR ${decibel(got.psnr)}`, got.image);

      const canvas = find("live-histogram");
      const chart = axes(canvas,
        { low: 0, high: 1, ticks: [[0, "0"], [0.5, "½"], [1, "1"]] },
        { log: true, low: 5e-5, high: 1, ticks: [-4, -3, -2, -1, 0].map((k) => [10 ** k, power(k)]) });
      chart.pen.fillStyle = BLUE;
      got.histogram.forEach((part, k) => {
        const left = chart.px(k / index.bins), top = chart.py(part);
        chart.pen.fillRect(left, top, chart.px((k + 1) / index.bins) - left, chart.box.bottom - top);
      });
      const outline = Array.from(live.second).flatMap((part, k) =>
        [[k / index.bins, part], [(k + 1) / index.bins, part]]);
      line(chart, outline, YELLOW);
      caption(canvas, `Entries of M: blue s = ${slopeText(live.s)}, yellow s = ${group(SECOND)}`);
    }
    const redrawLive = eachFrame(drawLive);

    function offerRuns() {
      const wanted = Number(find("live-acceleration").value);
      const offered = [...index.runs.entries()].filter(([, run]) => run.acceleration === wanted);
      offer(find("live-run"), offered.map(([k, run]) => [k, named(run)]));
    }

    offer(find("live-acceleration"), accelerations.map((r) => [r, `${r}`]));
    find("live-acceleration").value = index.runs[live.run].acceleration;
    offerRuns();
    find("live-run").value = live.run;
    offer(find("live-slice"), slices);
    find("live-acceleration").addEventListener("change", () => {
      const { title, seed } = index.runs[live.run];
      offerRuns();
      const options = [...find("live-run").options].map((option) => Number(option.value));
      const same = options.find((k) => index.runs[k].title === title && index.runs[k].seed === seed);
      find("live-run").value = same ?? options[0];
      choose({ run: Number(find("live-run").value) });
    });
    find("live-run").addEventListener("change", (event) =>
      choose({ run: Number(event.target.value) }));
    find("live-slice").addEventListener("change", (event) =>
      choose({ slice: Number(event.target.value) }));
    find("live-draw").addEventListener("click", () => choose({ seed: live.seed + 1 }));
    find("live-knob").addEventListener("input", (event) =>
      choose({ s: Number((10 ** Number(event.target.value)).toPrecision(2)) }));
    for (const button of document.querySelectorAll("#live [data-slope]")) {
      button.addEventListener("click", () => {
        choose({ s: Number(button.dataset.slope) });
        find("live-knob").value = Math.log10(live.s);
      });
    }

    // ---- A training, replayed

    const COLOURS = [YELLOW, BLUE];
    const chosenReplay = () => index.replays[Number(find("replay-pair").value)];
    const epochs = (replay) => Math.max(...replay.runs.map((run) => run.loss.length));

    function drawReplay() {
      const replay = chosenReplay(), longest = epochs(replay);
      const epoch = Number(find("replay-knob").value), side = replay.size, count = side * side;
      find("replay-epoch").textContent = `${epoch} of ${longest}`;
      find("replay-knob").setAttribute("aria-valuetext", `epoch ${epoch} of ${longest}`);
      const x = { label: "epoch", low: 1, high: longest, ticks: [[1, "1"], [longest, `${longest}`]] };
      const kept = (run, k) => probabilities(run.p[k], count);
      const mark = (chart) => {
        chart.pen.fillStyle = getComputedStyle(document.body).color;
        chart.pen.fillRect(chart.px(epoch) - 0.5, chart.box.top, 1, chart.box.bottom - chart.box.top);
      };
      for (const name of ["slope", "loss"]) {
        const chart = axes(find(`replay-${name}`), x, decades(replay.runs.flatMap((run) => run[name])));
        replay.runs.forEach((run, k) => {
          const values = run[name], now = Math.min(epoch, values.length);
          line(chart, values.map((value, i) => [i + 1, value]), COLOURS[k], name === "slope");
          dot(chart, now, values[now - 1], COLOURS[k], 4);
        });
        mark(chart);
      }
      const chart = axes(find("replay-dc"), x, { low: 0, high: 1, ticks: [[0, "0"], [0.5, "½"], [1, "1"]] });
      replay.runs.forEach((run, k) => {
        const points = run.epochs.map((e, i) => [e, middle(kept(run, i))]);
        line(chart, points, COLOURS[k]);
        for (const [e, value] of points) dot(chart, e, value, COLOURS[k]);
      });
      mark(chart);

      const sections = document.querySelectorAll("#replay .pair > div");
      replay.runs.forEach((run, k) => {
        const now = Math.min(epoch, run.loss.length);
        const last = run.epochs.filter((e) => e <= now).length - 1;
        const p = kept(run, last), hard = threshold(p);
        const [left, centre, right] = sections[k].querySelectorAll("canvas");
        const heading = sections[k].querySelector("h4");
        heading.textContent = `${run.title}, now s = ${slopeText(run.slope[now - 1])}`;
        heading.style.borderColor = COLOURS[k];
        show(left, `P at epoch ${run.epochs[last]}: P(DC) ${middle(p).toFixed(2)}`, p);
        show(centre, `P > 0.5: ${rate(hard)}`, hard);
        show(right, `Reconstruction: ${decibel(run.psnr[last])}`,
          greys(run.pictures[last], count));
      });
    }
    const redrawReplay = eachFrame(drawReplay);

    function chooseReplay() {
      find("replay-knob").max = epochs(chosenReplay());
      redrawReplay();
    }

    offer(find("replay-pair"), index.replays.map((replay, k) => [k, replay.title]));
    find("replay-pair").addEventListener("change", chooseReplay);
    find("replay-knob").addEventListener("input", redrawReplay);
    chooseReplay();
    find("replay-knob").value = find("replay-knob").max;

    // ---- Results

    const offered = () => index.runs.filter(
      (run) => run.acceleration === Number(find("results-acceleration").value));
    const titles = () => distinct(offered().map((run) => run.title));

    function drawResults() {
      const runs = offered(), title = titles()[Number(find("results-knob").value)];
      const alike = runs.filter((run) => run.title === title);
      const run = alike.find((one) => one.seed === Number(find("results-seed").value)) ?? alike[0];
      const slice = Number(find("results-slice").value), truth = images[slice];
      const p = probabilities(run.p, n * n), hard = threshold(p);
      const zero = measure(fourier, spectra[slice], hard).image;
      find("results-method").textContent = title;
      find("results-knob").setAttribute("aria-valuetext", title);

      const canvas = find("results-chart"), all = runs.map((one) => one.psnr).filter(Number.isFinite);
      const low = Math.floor(Math.min(...all) / 5) * 5, high = Math.ceil(Math.max(...all) / 5) * 5;
      const ticks = Array.from({ length: (high - low) / 5 + 1 }, (_, k) => [low + 5 * k, `${low + 5 * k}`]);
      const chart = axes(canvas, decades(runs.map((one) => one.slope)), { low, high, ticks });
      for (const one of runs) dot(chart, one.slope, one.psnr, one.shrinks ? YELLOW : BLUE, 3.5);
      dot(chart, run.slope, run.psnr, getComputedStyle(canvas).color, 7, true);
      const notes = run.warnings.map((warning) => ` Warning: ${warning}.`);
      if (!run.pictures.length) notes.push(" No reconstruction of this training was kept.");
      caption(canvas,
        `Test PSNR in dB against slope. Ring: ${named(run)}, ${decibel(run.psnr)}.${notes.join("")}`);

      show(find("results-p"), `P: P(DC) ${middle(p).toFixed(2)}`, p);
      show(find("results-threshold"), `P > 0.5: ${rate(hard)}`, hard);
      show(find("results-truth"), "Test slice x", truth);
      show(find("results-zero"), `|F⁻¹ y|, before the network: ${decibel(psnr(zero, truth))}`, zero);
      for (const id of ["results-image", "results-error"]) {
        find(id).parentElement.hidden = !run.pictures.length;
      }
      if (run.pictures.length) {
        const image = greys(run.pictures[slice], n * n);
        show(find("results-image"), `Reconstruction: ${decibel(run.picturePsnr[slice])}`, image);
        show(find("results-error"), "Error of the reconstruction",
          image.map((value, i) => Math.abs(value - truth[i])), 0, ERROR);
      }
    }
    const redrawResults = eachFrame(drawResults);

    function offerMethods() {
      const before = find("results-method").textContent;
      find("results-knob").max = titles().length - 1;
      const same = titles().indexOf(before);
      if (same >= 0) find("results-knob").value = same;
      offer(find("results-seed"), distinct(offered().map((run) => run.seed)).map((s) => [s, `${s}`]));
      redrawResults();
    }

    offer(find("results-acceleration"), accelerations.map((r) => [r, `${r}`]));
    offer(find("results-slice"), slices);
    find("results-acceleration").addEventListener("change", offerMethods);
    find("results-seed").addEventListener("change", redrawResults);
    find("results-slice").addEventListener("change", redrawResults);
    find("results-knob").addEventListener("input", redrawResults);

    // ---- The page

    for (const section of document.querySelectorAll(".explorer")) section.hidden = false;
    drawMasks();
    find("live-knob").value = Math.log10(live.s);
    const first = [index.runs[live.run], ...index.runs].find((run) => run.shrinks && run.pictures.length)
      ?? index.runs[live.run];
    find("results-acceleration").value = first.acceleration;
    offerMethods();
    find("results-knob").value = titles().indexOf(first.title);
    find("results-seed").value = first.seed;
    const redraw = () => [redrawLive, redrawReplay, redrawResults].forEach((draw) => draw());
    redraw();
    window.addEventListener("resize", redraw);
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });

    /* For tests: set a state of the first part, and ask for its numbers. */
    window.loupeExplorer = {
      set: choose,
      probabilities: () => Array.from(live.p),
      random: () => Array.from(live.u),
      image: () => Array.from(images[live.slice]),
      numbers: () => {
        const { mean, soft, histogram, psnr } = encode();
        return { mean, soft, histogram: Array.from(histogram), psnr };
      },
      drawLive,
    };
  }

  start().catch((error) => {
    const note = document.createElement("p");
    note.textContent = "This browser cannot show the controls; a newer one can.";
    find("live").before(note);
    console.error(error);
  });
})();
