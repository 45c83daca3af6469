// A dense table. Words are put as text; a cell that is null is filled by what the page has put there.
const h = (...given) => Vue.h(...given);

export default {
  props: { caption: String, heads: Array, rows: Array, wide: Boolean },
  methods: {
    cell(cell, row, column) {
      const head = this.heads[column];
      const looks = { role: "cell", class: [head.k, cell === "–" ? "none" : ""], "data-head": this.wide ? head.t : undefined };
      if (cell === null) return h("td", looks, this.$slots[`${row}-${column}`]?.());
      const { t, k, to } = typeof cell === "string" ? { t: cell } : cell;
      return h("td", looks, [to ? h("a", { href: to, class: ["nicegui-link", k] }, t) : h("span", { class: k }, t)]);
    },
  },
  render() {
    const heads = this.heads.map(({ t, k }) => h("th", { scope: "col", role: "columnheader", class: k }, t));
    const rows = this.rows.map((row, n) => h("tr", { role: "row" }, row.map((cell, place) => this.cell(cell, n, place))));
    return h("div", [
      h("table", { class: "fw-table", role: "table", "aria-label": this.caption }, [
        h("thead", { role: "rowgroup" }, [h("tr", { role: "row" }, heads)]),
        h("tbody", { role: "rowgroup" }, rows),
      ]),
    ]);
  },
};
