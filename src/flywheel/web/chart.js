// A chart as SVG, in the page's own colours, drawn as soon as its place stands. Every word in it is put as text.
const LETTER = 6.2; // pixels of a letter at 11 px

function h(tag, looks, inside = []) {
  const one = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(looks)) one.setAttribute(name, value);
  one.append(...[inside].flat());
  return one;
}

function steps(low, high, count, whole) {
  const size = (high - low || Math.abs(high) || 1) / count;
  const power = 10 ** Math.floor(Math.log10(size));
  const nice = [1, 2, 5, 10].find((one) => one * power >= size * 0.999) * power;
  return whole ? Math.max(1, Math.round(nice)) : nice;
}

// Six digits, thousands apart. The browser's own formatter takes 15 ms to begin with.
function said(value) {
  const [whole, rest] = String(+value.toPrecision(6)).split(/(?=\.|e)/);
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest || "");
}

let drawings = 0;
const waiting = new Set();

// All sizes are read before anything is drawn: the browser lays the page out once, not once a chart.
function flush() {
  const sized = [...waiting].map((one) => [one, one.room.clientWidth, one.room.clientHeight]);
  waiting.clear();
  for (const [one, wide, high] of sized) one.draw(wide, high);
}

class Drawing {
  constructor(place, drawn) {
    [this.room, this.drawn, this.at, this.id] = [place, drawn, null, `fw-chart-${drawings++}`];
    place.addEventListener("pointermove", (event) => this.point(event));
    place.addEventListener("pointerleave", () => this.point(null));
    this.watching = new ResizeObserver(() => {
      if (place.clientWidth !== this.wide || place.clientHeight !== this.high) this.soon();
    });
    this.watching.observe(place);
    this.soon();
  }

  show(drawn) {
    this.drawn = drawn;
    this.soon();
  }

  soon() {
    if (!waiting.size) queueMicrotask(flush);
    waiting.add(this);
  }

  end() {
    this.watching.disconnect();
  }

  ends() {
    const { series, held, zero, top } = this.drawn;
    const stacked = series.filter((one) => one.stacked);
    const sums = this.drawn.x.map((_, k) => stacked.reduce((sum, one) => sum + (one.y[k] || 0), 0));
    const values = series.flatMap((one) => [...one.y, ...(one.low || []), ...(one.high || [])]);
    const known = [...values, ...sums.slice(0, stacked.length ? undefined : 0), ...(held == null ? [] : [held])]
      .filter((one) => one != null);
    if (zero) known.push(0);
    let [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
    const step = steps(low, high, this.drawn.few || 4, this.drawn.whole);
    low = Math.floor(low / step + 1e-9) * step;
    high = Math.max(Math.ceil(high / step - 1e-9) * step, low + step);
    if (top != null) high = Math.min(high, top);
    const ticks = [];
    for (let value = low; value <= high + step / 1e6; value += step) ticks.push(+value.toPrecision(12));
    return { low, high, ticks };
  }

  // Where things lie: `along` the places, `up` the values; for bars that lie down, the two change sides.
  lay() {
    const { x, across, unit, legend, marks } = this.drawn;
    const { low, high, ticks } = this.ends();
    const longest = Math.max(0, ...(across ? x : ticks.map(said)).map((one) => one.length));
    const left = Math.min(longest * LETTER, this.wide * 0.4) + 10;
    const above = across ? (legend ? 24 : 6) : unit || legend || marks.length ? 24 : 10;
    const box = { left, top: above, right: this.wide - (across ? 40 : 12), bottom: this.high - 20 };
    const [from, to] = across ? [box.top, box.bottom] : [box.left, box.right];
    const band = (to - from) / Math.max(1, x.length);
    const along = (k) => from + (k + 0.5) * band;
    const share = (value) => (value - low) / (high - low);
    const up = (value) =>
      across
        ? box.left + share(value) * (box.right - box.left)
        : box.bottom - share(value) * (box.bottom - box.top);
    return { box, band, along, up, ticks, low, left };
  }

  axes({ box, along, up, ticks, band, left }) {
    const { x, across, unit } = this.drawn;
    const found = [];
    const write = (words, at, y, anchor) =>
      found.push(h("text", { x: at, y, "text-anchor": anchor }, words));
    let free = -Infinity;
    for (const tick of ticks) {
      const at = up(tick);
      const ends = across ? [at, box.top, at, box.bottom] : [box.left, at, box.right, at];
      found.push(h("line", { x1: ends[0], y1: ends[1], x2: ends[2], y2: ends[3] }));
      if (!across) write(said(tick), box.left - 6, at + 4, "end");
      else if (at - (said(tick).length * LETTER) / 2 > free) {
        write(said(tick), at, box.bottom + 15, "middle");
        free = at + (said(tick).length * LETTER) / 2 + 8;
      }
    }
    const most = Math.round((left - 10) / LETTER);
    const skip = across ? Math.ceil(14 / band) : Math.ceil((Math.max(...x.map((one) => one.length), 1) * LETTER + 12) / band);
    let taken = -Infinity;
    x.forEach((words, k) => {
      if (k % Math.max(1, skip)) return;
      const short = across && words.length > most ? `${words.slice(0, most - 1)}…` : words;
      if (across) return write(short, box.left - 6, along(k) + 4, "end");
      const half = (words.length * LETTER) / 2;
      const at = Math.max(along(k), half);
      if (at - half < taken || at + half > this.wide) return;
      write(words, at, box.bottom + 15, "middle");
      taken = at + half + 8;
    });
    if (unit) across ? write(unit, box.right + 8, box.bottom + 15, "start") : write(unit, 0, 11, "start");
    return found;
  }

  legend() {
    let at = this.wide;
    return [...this.drawn.series].reverse().flatMap((one) => {
      at -= one.name.length * LETTER + 26;
      const looks = { fill: this.ink(one), stroke: one.colour };
      return [
        h("rect", { x: at, y: 3, width: 12, height: 9, ...looks }),
        h("text", { x: at + 16, y: 11, "text-anchor": "start" }, one.name),
      ];
    });
  }

  ink(one) {
    return one.pattern ? `url(#${this.id}-p${one.pattern})` : one.colour;
  }

  // Textures, so that colours are not all that tells stacked bars apart.
  textures() {
    const strokes = { 1: "M0,6 6,0", 2: "M0,0 6,6", 3: "M0,3 6,3" };
    const used = this.drawn.series.filter((one) => one.pattern);
    return used.map((one) =>
      h("pattern", { id: `${this.id}-p${one.pattern}`, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, [
        h("rect", { width: 6, height: 6, fill: one.colour, "fill-opacity": 0.55 }),
        h("path", { d: strokes[one.pattern], stroke: one.colour, "stroke-width": 2 }),
      ]),
    );
  }

  bars(spot) {
    const { across, series } = this.drawn;
    const all = series.filter((one) => one.as === "bar");
    const beside = all.some((one) => one.stacked) ? 1 : all.length;
    const thick = Math.max(1, Math.min((spot.band * 0.72) / beside, across ? 11 : 28));
    const begun = this.drawn.x.map(() => 0);
    return all.map((one, nth) => {
      let d = "";
      one.y.forEach((value, k) => {
        if (!value) return;
        const [a, b] = [spot.up(one.stacked ? begun[k] : Math.max(0, spot.low)), spot.up(begun[k] * !!one.stacked + value)];
        if (one.stacked) begun[k] += value;
        const from = spot.along(k) - (thick * beside) / 2 + (one.stacked ? 0 : nth * thick);
        d += across ? `M${a},${from}H${b}v${thick}H${a}z` : `M${from},${a}V${b}h${thick}V${a}z`;
      });
      return h("path", { d, fill: this.ink(one), stroke: one.pattern ? one.colour : "none" });
    });
  }

  line(one, spot) {
    const { along, up } = spot;
    const path = (values) => {
      let [d, begun] = ["", false];
      values.forEach((value, k) => {
        if (value != null) d += `${begun ? "L" : "M"}${along(k).toFixed(1)},${up(value).toFixed(1)}`;
        begun = value != null;
      });
      return d;
    };
    const found = [];
    if (one.low) found.push(h("path", { d: this.band(one, spot), fill: "#56B4E9", "fill-opacity": 0.25 }));
    found.push(h("path", { d: path(one.y), fill: "none", stroke: one.colour, "stroke-width": 2, "stroke-linejoin": "round" }));
    const alone = one.y.length > 60 ? one.y.map((value, k) => value != null && one.y[k - 1] == null && one.y[k + 1] == null) : null;
    found.push(this.dots(one, spot, one.y.map((_, k) => k).filter((k) => !alone || alone[k]), 5, one.colour));
    if (one.spots) found.push(this.dots(one, spot, one.spots, 8, "#E69F00"));
    return found;
  }

  band({ low, high }, { along, up }) {
    let [d, run] = ["", []];
    const close = () => {
      if (!run.length) return;
      const edge = (values) => (k) => `${along(k).toFixed(1)},${up(values[k]).toFixed(1)}`;
      d += `M${run.map(edge(high)).join("L")}L${run.reverse().map(edge(low)).join("L")}z`;
      run = [];
    };
    low.forEach((value, k) => (value == null || high[k] == null ? close() : run.push(k)));
    close();
    return d;
  }

  dots(one, { along, up }, places, size, colour) {
    const at = (k) => (this.drawn.across ? [up(one.y[k]), along(k)] : [along(k), up(one.y[k])]);
    const d = places.filter((k) => one.y[k] != null).map((k) => `M${at(k).map((v) => v.toFixed(1))}h.01`).join("");
    return h("path", { d, stroke: colour, "stroke-width": size, "stroke-linecap": "round" });
  }

  spans(one, spot) {
    const { along, up } = spot;
    const { across } = this.drawn;
    let d = "";
    (one.low || []).forEach((low, k) => {
      if (low == null || one.high[k] == null) return;
      const [a, b, at, cap] = [up(low), up(one.high[k]), along(k), 4];
      d += across
        ? `M${a},${at}H${b}M${a},${at - cap}v${2 * cap}M${b},${at - cap}v${2 * cap}`
        : `M${at},${a}V${b}M${at - cap},${a}h${2 * cap}M${at - cap},${b}h${2 * cap}`;
    });
    const places = one.y.map((_, k) => k);
    return [
      h("path", { d, fill: "none", stroke: one.colour, "stroke-width": 2 }),
      this.dots(one, spot, places, 9, one.colour),
    ];
  }

  marked({ box, along, up }) {
    const { x, marks, held } = this.drawn;
    const found = [];
    if (held != null) found.push(h("line", { x1: up(held), x2: up(held), y1: box.top, y2: box.bottom, class: "held" }));
    let free = -Infinity;
    for (const [place, words] of marks) {
      const at = along(x.indexOf(place));
      found.push(h("line", { x1: at, x2: at, y1: box.top, y2: box.bottom, class: "held" }));
      const begin = Math.min(at - (words.length * LETTER) / 2, this.wide - words.length * LETTER);
      if (!words || begin < free) continue; // the sentence above has them all
      found.push(h("text", { x: begin, y: box.top - 5, "text-anchor": "start" }, words));
      free = begin + words.length * LETTER + 6;
    }
    return found;
  }

  point(event) {
    const was = this.at;
    this.at = null;
    if (event && this.wide) {
      const { left, top } = this.room.getBoundingClientRect();
      const { box, band } = this.lay();
      const from = this.drawn.across ? event.clientY - top - box.top : event.clientX - left - box.left;
      const k = Math.floor(from / band);
      if (k >= 0 && k < this.drawn.x.length) this.at = k;
    }
    if (this.at !== was) this.soon();
  }

  told(spot) {
    const { x, series, unit, across } = this.drawn;
    const value = (one) => {
      const span = one.low && one.low[this.at] != null && one.high[this.at] != null;
      const ends = span ? ` (${said(one.low[this.at])} to ${said(one.high[this.at])})` : "";
      return `${said(one.y[this.at])}${unit ? ` ${unit}` : ""}${ends}`;
    };
    const known = series.filter((one) => one.y[this.at] != null);
    const found = document.createElement("div");
    found.className = "fw-told";
    for (const [tag, words] of [["strong", x[this.at]], ...known.map((one) => ["div", `${one.name}: ${value(one)}`])])
      found.append(Object.assign(document.createElement(tag), { textContent: words }));
    const along = spot.along(this.at);
    found.style.top = across ? `${Math.max(0, along - 60)}px` : 0;
    if (across) found.style.left = `${spot.box.left + 12}px`;
    else if (along > this.wide / 2) found.style.right = `${this.wide - along + 8}px`;
    else found.style.left = `${along + 8}px`;
    return found;
  }

  draw(wide, high) {
    [this.wide, this.high] = [wide, high];
    if (!this.wide || !this.high) return; // in what is folded away: drawn when it is opened
    const spot = this.lay();
    const parts = [h("defs", {}, this.textures()), h("g", { class: "axes" }, this.axes(spot)), ...this.bars(spot)];
    for (const one of this.drawn.series) {
      if (one.as === "line") parts.push(...this.line(one, spot));
      if (one.as === "span") parts.push(...this.spans(one, spot));
    }
    parts.push(...this.marked(spot));
    if (this.drawn.legend) parts.push(...this.legend());
    if (this.at != null && !this.drawn.across) {
      const at = spot.along(this.at);
      parts.push(h("line", { x1: at, x2: at, y1: spot.box.top, y2: spot.box.bottom, class: "held" }));
    }
    const svg = h("svg", { width: this.wide, height: this.high, "aria-hidden": "true" }, parts);
    this.room.replaceChildren(svg, ...(this.at == null ? [] : [this.told(spot)]));
  }
}

export default {
  props: { drawn: Object },
  mounted() {
    this.drawing = new Drawing(this.$el, this.drawn);
  },
  unmounted() {
    this.drawing.end();
  },
  methods: {
    show(drawn) {
      this.drawing.show(drawn);
    },
  },
  render: () => Vue.h("div"),
};
