// A chart by ECharts, in the page's own colours. Every word in it is put as text.
let loaded;
const library = () => (loaded ??= import("nicegui-echart").then((one) => one.echarts));
const DIM = "var(--dim)";
const LETTER = 6.2; // pixels of a letter at 11 px
const NEAR = 400; // pixels below the screen at which a chart is drawn before it is seen
const words = { color: DIM, fontSize: 11 };
const quiet = { silent: true, tooltip: { show: false }, emphasis: { disabled: true } };
// Textures, so that colours are not all that tells stacked bars apart.
const textures = [-1, 1, 0].map((turn) => ({
  symbol: "rect", color: "rgba(255,255,255,0.55)", dashArrayX: [1, 0], dashArrayY: [2, 4], rotation: (turn * Math.PI) / 4,
}));

function said(value) {
  const [whole, rest] = String(+value.toPrecision(6)).split(/(?=\.|e)/);
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest || "");
}

// What is told where a chart is pointed at: elements with text in them, never markup.
function told({ x, series, unit }, k) {
  const put = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
  const ends = ({ low, high }) => (low && low[k] != null && high[k] != null ? ` (${said(low[k])} to ${said(high[k])})` : "");
  const known = series.filter((one) => one.y[k] != null);
  const value = (one) => `${one.name}: ${said(one.y[k])}${unit ? ` ${unit}` : ""}${ends(one)}`;
  return [put("strong", x[k]), ...known.map((one) => put("div", value(one)))];
}

// At the top, on the side of the pointer where there is more room.
function beside([x, y], found, _, __, { contentSize: [wide, high], viewSize: [room] }) {
  const across = found[0].axisDim === "y";
  const at = x > room / 2 ? x - wide - 10 : x + 10;
  return [Math.max(0, Math.min(at, room - wide)), across ? y - high - 8 : 0];
}

function lines(one, { marks, x }, wide) {
  const many = one.y.length > 60; // then only those that stand alone are dots
  const data = one.y.map((value, k) => {
    if (one.spots?.includes(k)) return { value, symbol: "circle", symbolSize: 8, itemStyle: { color: "#E69F00" } };
    const alone = many && value != null && one.y[k - 1] == null && one.y[k + 1] == null;
    return alone ? { value, symbol: "circle" } : value;
  });
  let free = -Infinity;
  const moments = marks.map(([at, text]) => {
    const middle = ((x.indexOf(at) + 0.5) / x.length) * wide;
    const half = (text.length * LETTER) / 2;
    const show = text !== "" && middle - half > free; // the sentence above has them all
    if (show) free = middle + half + 6;
    return { xAxis: at, label: { show, formatter: () => text } };
  });
  const found = [{
    type: "line", name: one.name, data, color: one.colour, lineStyle: { width: 2 }, symbol: many ? "none" : "circle",
    symbolSize: 5, showAllSymbol: true, emphasis: { disabled: true }, z: 3,
    markLine: moments.length ? { ...quiet, symbol: "none", label: words, lineStyle: { color: DIM }, data: moments } : undefined,
  }];
  if (one.low) {
    const band = { type: "line", symbol: "none", lineStyle: { opacity: 0 }, stack: "band", stackStrategy: "all", ...quiet };
    const whole = one.low.map((low, k) => low != null && one.high[k] != null);
    found.push({ ...band, data: one.low.map((low, k) => (whole[k] ? low : null)) });
    found.push({ ...band, data: one.high.map((high, k) => (whole[k] ? high - one.low[k] : null)), areaStyle: { color: "#56B4E9", opacity: 0.25 } });
  }
  return found;
}

function spans(one, { across, held }) {
  const draw = (_, api) => {
    const [k, y, low, high] = [0, 1, 2, 3].map((place) => api.value(place));
    const at = (value) => api.coord(across ? [value, k] : [k, value]);
    const children = [];
    if (low != null && high != null && !isNaN(low) && !isNaN(high)) {
      const style = { stroke: one.colour, lineWidth: 2, fill: "none" };
      const [[ax, ay], [bx, by]] = [at(low), at(high)];
      const d = across
        ? `M${ax},${ay}H${bx}M${ax},${ay - 4}v8M${bx},${ay - 4}v8`
        : `M${ax},${ay}V${by}M${ax - 4},${ay}h8M${ax - 4},${by}h8`;
      children.push({ type: "path", shape: { pathData: d }, style });
    }
    if (!isNaN(y)) children.push({ type: "circle", shape: { cx: at(y)[0], cy: at(y)[1], r: 4.5 }, style: { fill: one.colour } });
    return { type: "group", children };
  };
  const data = one.y.map((y, k) => [k, y, one.low?.[k], one.high?.[k]].map((value) => value ?? NaN));
  const [x, y] = across ? [[1, 2, 3], 0] : [0, [1, 2, 3]];
  const line = { ...quiet, symbol: "none", label: { show: false }, lineStyle: { color: DIM }, data: [{ xAxis: held }] };
  return [
    { type: "custom", name: one.name, renderItem: draw, data, encode: { x, y }, emphasis: { disabled: true }, z: 3 },
    ...(held == null ? [] : [{ type: "line", data: [], markLine: line }]),
  ];
}

function bar(one, { across }) {
  const decal = one.pattern ? textures[one.pattern - 1] : undefined;
  return {
    type: "bar", name: one.name, data: one.y, color: one.colour, stack: one.stacked ? "all" : undefined,
    barMaxWidth: across ? 11 : 28, barGap: 0, itemStyle: { decal }, emphasis: { disabled: true },
  };
}

function options(drawn, wide) {
  const { x, series, unit, across, zero, top, few, whole, held, legend } = drawn;
  const values = {
    type: "value", scale: !zero, max: top, interval: top && top / 5, splitNumber: few || 4, minInterval: whole ? 1 : undefined, name: unit,
    nameLocation: "end", nameGap: across ? 8 : 10, nameTextStyle: { ...words, align: "left", ...(across ? {} : { padding: [0, 0, 0, -30] }) },
    axisLabel: { ...words, formatter: said, hideOverlap: true }, splitLine: { lineStyle: { color: "var(--line)" } },
    axisLine: { show: false }, axisTick: { show: false },
  };
  if (held != null) Object.assign(values, { min: (one) => (one.min > held ? held : null), max: (one) => (one.max < held ? held : null) });
  const places = {
    type: "category", data: x, inverse: across, axisTick: { show: false }, axisLine: { show: !across, lineStyle: { color: "var(--line)" } },
    axisLabel: { ...words, hideOverlap: true, ...(across ? { width: wide * 0.4, overflow: "truncate" } : {}) },
  };
  const longest = Math.max(0, ...x.map((one) => one.length)) * LETTER; // half of the last one may stand out
  const right = across ? 40 : Math.max(12, longest / 2 - wide / x.length / 2);
  const above = across ? (legend ? 24 : 6) : unit || legend || drawn.marks.length ? 26 : 10;
  return {
    animation: false,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily },
    grid: { left: 4, right, top: above, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "axisLabel" },
    legend: legend ? { top: 0, right: 0, icon: "rect", itemWidth: 12, itemHeight: 9, selectedMode: false, textStyle: words } : undefined,
    tooltip: {
      trigger: "axis", className: "fw-told", position: beside, transitionDuration: 0, backgroundColor: "var(--panel)",
      borderColor: "var(--edge)", padding: [4, 10], textStyle: { color: "inherit" }, extraCssText: "box-shadow:none",
      formatter: (found) => told(drawn, found[0].dataIndex),
      axisPointer: { type: "line", axis: across ? "y" : "x", lineStyle: { color: DIM }, label: { show: false } },
    },
    xAxis: across ? values : places,
    yAxis: across ? places : values,
    series: series.flatMap((one) =>
      one.as === "bar" ? bar(one, drawn) : one.as === "line" ? lines(one, drawn, wide) : spans(one, drawn),
    ),
  };
}

const waiting = new Set();
const near = new IntersectionObserver(
  (found) => found.filter((one) => one.isIntersecting).forEach((one) => one.target.fwDrawing.begin()),
  { rootMargin: `${NEAR}px` },
);
const sizes = new ResizeObserver((found) => found.forEach((one) => one.target.fwDrawing.fit()));
addEventListener("beforeprint", () => document.querySelectorAll(".fw-chart").forEach((one) => one.fwDrawing?.begin()));

// All sizes are read before anything is drawn: the browser lays the page out once, not once a chart. Those on the first
// screen are drawn at once, the others when they come near.
async function flush() {
  const sized = [...waiting].map((one) => [one, one.room.getBoundingClientRect()]);
  waiting.clear();
  const first = sized.filter(([, box]) => box.width && box.height && box.top < innerHeight && box.bottom > 0);
  for (const [one] of sized) if (!first.some(([other]) => other === one)) near.observe(one.room);
  for (const [one, { width, height }] of first) await one.begin(width, height);
}

class Drawing {
  constructor(room, drawn) {
    [this.room, this.drawn] = [room, drawn];
    room.fwDrawing = this;
    if (!waiting.size) queueMicrotask(flush);
    waiting.add(this);
  }

  async begin(wide = this.room.clientWidth, high = this.room.clientHeight) {
    near.unobserve(this.room);
    const echarts = await library();
    if (this.chart || this.ended || !wide || !high) return;
    this.chart = echarts.init(this.room, null, { renderer: "svg", width: wide, height: high });
    [this.wide, this.high] = [wide, high];
    this.show(this.drawn);
    sizes.observe(this.room);
  }

  fit() {
    const { clientWidth: wide, clientHeight: high } = this.room;
    if (!wide || !high || (wide === this.wide && high === this.high)) return; // folded away, or as it was
    [this.wide, this.high] = [wide, high];
    this.chart.resize({ width: wide, height: high, silent: true });
    this.show(this.drawn);
  }

  show(drawn) {
    this.drawn = drawn;
    this.chart?.setOption(options(drawn, this.wide), { notMerge: true });
  }

  end() {
    this.ended = true;
    waiting.delete(this);
    near.unobserve(this.room);
    sizes.unobserve(this.room);
    this.chart?.dispose();
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
