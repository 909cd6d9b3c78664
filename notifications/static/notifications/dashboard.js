// Draws the charts from the numbers in the page, and fetches the page's live part anew every few
// seconds. Without this script the page shows the same in its tables, as of when it was loaded.
"use strict";

(() => {
  const live = document.getElementById("nd-live");
  const updated = document.getElementById("nd-updated");
  const toggle = document.getElementById("nd-toggle");
  const plots = new Map();
  let timer = null;
  let stopped = false;

  const css = (name) => getComputedStyle(live).getPropertyValue(name).trim();
  const dashes = [[], [6, 4], [2, 3]];

  function numbers(figure) {
    const rows = [...figure.querySelectorAll("ol > li")];
    const values = rows.map((row) => row.dataset.values.split(","));
    const lines = values.length ? values[0].length : 0;
    const line = (index) => values.map((each) => (each[index] === "" ? null : Number(each[index])));
    return [rows.map((row) => Number(row.dataset.at)), ...Array.from({ length: lines }, (_, i) => line(i))];
  }

  function short(value) {
    if (value >= 1e6) return (value / 1e6).toPrecision(3) / 1 + "M";
    if (value >= 1e4) return (value / 1e3).toPrecision(3) / 1 + "k";
    return String(Number(value.toPrecision(3)));
  }

  function duration(value) {
    if (value < 1) return Math.round(value * 1000) + " ms";
    if (value < 60) return Number(value.toPrecision(2)) + " s";
    if (value < 3600) return Math.round(value / 60) + " min";
    return Math.round(value / 3600) + " h";
  }

  // A value between two gaps is no line, and would not be seen.
  function lone(plot, line) {
    const isGap = (value) => value == null;
    const values = plot.data[line];
    const found = [...values.keys()].filter((i) => !isGap(values[i]) && isGap(values[i - 1]) && isGap(values[i + 1]));
    return found.length ? found : null;
  }

  function options(figure, width) {
    const show = figure.dataset.measure === "seconds" ? duration : short;
    const axis = { stroke: css("--nd-quiet"), grid: { stroke: css("--hairline-color"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const names = [...figure.querySelectorAll(".nd-swatch")].map((each) => each.textContent);
    // In the time zone of the site, as all other times on its pages are.
    const offset = Number(live.querySelector("[data-offset]").dataset.offset);
    const time = (at) => new Date((at + offset) * 1000).toISOString().slice(11, 16);
    return {
      width,
      height: 150,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { points: { size: 6 }, drag: { x: false, y: false } },
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [
        { ...axis, space: 60, size: 24, values: (_, splits) => splits.map(time) },
        { ...axis, size: 52, values: (_, splits) => splits.map(show) },
      ],
      series: [
        {},
        ...names.map((label, i) => ({ label, stroke: css(`--nd-line-${i + 1}`), width: 2, dash: dashes[i], points: { show: false, filter: lone, size: 5 }, spanGaps: false })),
      ],
      hooks: { setCursor: [(plot) => tell(figure, plot, show, time)] },
    };
  }

  // What is under the pointer stands where the unit stands otherwise.
  function tell(figure, plot, show, time) {
    const unit = figure.querySelector(".nd-unit");
    const index = plot.cursor.idx;
    if (index == null || plot.cursor.left < 0) {
      unit.textContent = figure.dataset.unit;
      return;
    }
    const parts = plot.series.slice(1).map((line, i) => [line.label, plot.data[i + 1][index]]);
    const told = parts.filter(([, value]) => value != null).map(([label, value]) => `${label} ${show(value)}`);
    unit.textContent = `${time(plot.data[0][index])}: ${told.join(", ") || live.dataset.nothing}`;
  }

  function draw(figure) {
    const holder = figure.querySelector(".nd-plot");
    const data = numbers(figure);
    const isEmpty = data.slice(1).every((line) => line.every((value) => !value));
    figure.classList.toggle("nd-nothing", isEmpty);
    const plot = plots.get(figure);
    if (isEmpty) {
      if (plot) plot.destroy();
      plots.delete(figure);
    } else if (plot) {
      plot.setData(data);
    } else if (holder.clientWidth) {
      plots.set(figure, new uPlot(options(figure, holder.clientWidth), data, holder));
    }
  }

  function drawAll() {
    document.querySelectorAll("figure[data-chart]").forEach(draw);
  }

  function drawAnew() {
    plots.forEach((plot) => plot.destroy());
    plots.clear();
    drawAll();
  }

  function fit() {
    plots.forEach((plot, figure) => {
      const width = figure.querySelector(".nd-plot").clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: 150 });
    });
  }

  // Only what has changed is replaced, and who had the focus gets it back.
  function replace(old, fresh) {
    if (old.innerHTML === fresh.innerHTML && old.className === fresh.className) return;
    const focused = old.contains(document.activeElement) ? document.activeElement : null;
    const address = focused && goes(focused);
    old.className = fresh.className;
    old.innerHTML = fresh.innerHTML;
    if (focused === old || !focused) return;
    const again = [...old.querySelectorAll("a, button")].find((each) => goes(each) === address);
    (again || old.querySelector("[tabindex]") || toggle).focus({ preventScroll: true });
  }

  // Where a link or the form of a button leads: what it is known by in the next version of the page.
  function goes(element) {
    return element.getAttribute("href") || (element.form && element.form.getAttribute("action"));
  }

  function show(text) {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const parts = [...fresh.querySelectorAll("[data-part]")];
    if (!parts.length) return say(live.dataset.gone);
    for (const part of parts) {
      const old = live.querySelector(`[data-part="${part.dataset.part}"]`);
      if (old) replace(old, part);
    }
    drawAll();
    return say(fresh.querySelector("[data-asof]").dataset.asof);
  }

  function say(text) {
    updated.textContent = text;
  }

  async function refresh() {
    try {
      const answer = await fetch(live.dataset.url, { credentials: "same-origin", cache: "no-store" });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      show(await answer.text());
    } catch (error) {
      say(`${live.dataset.failed} (${error.message})`);
    }
    plan();
  }

  function plan() {
    clearTimeout(timer);
    if (!stopped && !document.hidden) timer = setTimeout(refresh, live.dataset.refresh * 1000);
  }

  const stop = toggle.textContent;
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    stopped = !stopped;
    toggle.textContent = stopped ? toggle.dataset.goOn : stop;
    if (stopped) plan();
    else refresh();
  });
  document.addEventListener("visibilitychange", () => (document.hidden || stopped ? plan() : refresh()));
  new ResizeObserver(fit).observe(live);
  new MutationObserver(drawAnew).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAnew);
  drawAll();
  plan();
})();
