// The rows of the Live page. What was logged is only ever put as text.
export default {
  template: `
    <div>
      <table>
        <caption style="position:absolute;left:-9999px">What arrived, the newest first</caption>
        <thead><tr><th v-for="head in heads" :key="head.name" :class="head.kind" scope="col">{{ head.name }}</th></tr></thead>
        <tbody>
          <tr v-for="row in held" :key="row.k">
            <td class="fw-time" :title="row.w">{{ row.t }}</td>
            <td><a :href="base + row.i" class="nicegui-link">{{ row.x }}</a></td>
            <td v-for="(cell, place) in row.c" :key="place" :class="heads[place + 2].kind" :title="cell">{{ cell }}</td>
          </tr>
        </tbody>
      </table>
      <p v-if="!held.length" style="padding: 28px 0; opacity: .75; max-width: 46rem">{{ nothing }}</p>
    </div>`,
  props: { rows: Array, base: String, nothing: String, most: Number, heads: Array },
  data() {
    return { held: this.rows };
  },
  methods: {
    take(fresh) {
      const known = new Set(this.held.map((row) => row.k));
      this.held = [...fresh.filter((row) => !known.has(row.k)), ...this.held].slice(0, this.most);
    },
  },
};
