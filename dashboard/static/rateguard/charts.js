// Draws the charts of a page: `<canvas data-chart="ID">` with its data in `<script type="application/json" id="ID">`.
// Colours come from the page's variables, so a chart is drawn anew when light and dark are switched. Without this script the tables remain.
"use strict";
(() => {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const drawn = new Map();
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const usd = (value) => {
    const size = Math.abs(value);
    const digits = size === 0 || size >= 1 ? 2 : Math.min(9, 1 - Math.floor(Math.log10(size)));
    return `${value < 0 ? "-" : ""}$${size.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
  };
  const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${(ms / 60000).toFixed(1)} min`);
  const say = { usd, ms: duration };
  const digitsOf = (step) => (step >= 1 ? 0 : Math.min(9, Math.max(2, Math.ceil(-Math.log10(step)))));
  const axisSay = {
    usd: (value, _index, ticks) => {
      const digits = digitsOf(ticks.length > 1 ? Math.abs(ticks[1].value - ticks[0].value) : 1);
      return `$${value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
    },
    ms: (value) => duration(value),
  };

  const dataset = (data) => (one) => {
    const tone = one.colour ? colour(`--series-${one.colour}`) : colour("--ink");
    const shared = { label: one.name, data: one.values, backgroundColor: tone, hoverBackgroundColor: tone, borderColor: tone };
    if (data.kind === "bars") return { ...shared, stack: "all", borderWidth: 0, maxBarThickness: 44 };
    return {
      ...shared, borderWidth: one.colour ? 1.5 : 2.5, borderDash: one.dashed ? [5, 4] : [], pointRadius: 2, pointHoverRadius: 5, tension: 0.2,
      spanGaps: true, fill: false,
    };
  };

  const options = (data, isDrawnAnew) => {
    const soft = colour("--soft"), line = colour("--line"), isBars = data.kind === "bars";
    return {
      responsive: true, maintainAspectRatio: false, animation: still.matches || isDrawnAnew ? false : { duration: 250 },
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked: isBars, ticks: { color: soft, maxRotation: 0, autoSkipPadding: 14 }, grid: { display: false }, border: { color: line } },
        y: {
          stacked: isBars, beginAtZero: true, grid: { color: line }, border: { display: false },
          ticks: { color: soft, maxTicksLimit: 6, callback: axisSay[data.unit] },
        },
      },
      plugins: {
        legend: {
          position: "bottom", align: "start",
          labels: { color: colour("--ink"), boxWidth: 10, boxHeight: 10, usePointStyle: true, pointStyle: isBars ? "rectRounded" : "line", padding: 12 },
        },
        tooltip: {
          backgroundColor: colour("--card"), titleColor: colour("--ink"), bodyColor: colour("--ink"), footerColor: colour("--ink"),
          borderColor: line, borderWidth: 1, padding: 10, usePointStyle: true,
          filter: (item) => !isBars || item.parsed.y !== 0,
          callbacks: {
            title: (items) => (items.length ? data.titles[items[0].dataIndex] : ""),
            label: (item) => ` ${item.dataset.label}: ${item.parsed.y === null ? "–" : say[data.unit](item.parsed.y)}`,
            footer: (items) => (isBars && items.length > 1 ? `all: ${usd(items.reduce((sum, item) => sum + item.parsed.y, 0))}` : ""),
          },
        },
      },
    };
  };

  const draw = (canvas, isDrawnAnew) => {
    const data = JSON.parse(document.getElementById(canvas.dataset.chart).textContent);
    drawn.get(canvas)?.destroy();
    canvas.parentElement.hidden = false;
    drawn.set(canvas, new Chart(canvas, {
      type: data.kind === "bars" ? "bar" : "line",
      data: { labels: data.labels, datasets: data.series.map(dataset(data)) },
      options: options(data, isDrawnAnew),
    }));
  };
  const drawAll = (isDrawnAnew) => {
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    for (const canvas of document.querySelectorAll("canvas[data-chart]")) draw(canvas, isDrawnAnew);
  };

  document.addEventListener("DOMContentLoaded", () => drawAll(false));
  document.addEventListener("rateguard:theme", () => drawAll(true));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(true));
})();
