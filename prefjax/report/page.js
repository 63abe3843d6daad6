// One cursor over every chart of the step axis: moved by the pointer, by touch, or by the slider.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const slider = document.getElementById("step");
const told = document.getElementById("told");
const charts = [...document.querySelectorAll("svg.linked")].map((svg) => ({
  svg, cursor: svg.querySelector(".cursor"), readout: svg.parentNode.querySelector(".readout"), lines: data[svg.dataset.key],
  low: +svg.dataset.low, high: +svg.dataset.high, left: +svg.dataset.left, right: +svg.dataset.right,
}));

function nearest(xs, step) {
  let low = 0, high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < step) low = middle + 1; else high = middle;
  }
  return low > 0 && step - xs[low - 1] < xs[low] - step ? low - 1 : low;
}

function write(value, percent) {
  if (value === null) return "–";
  const shown = percent ? 100 * value : value;
  return `${+shown.toPrecision(3)}${percent ? " %" : ""}`.replace("-", "−");
}

function show(step, drawn = true) {
  for (const chart of charts) {
    const share = (step - chart.low) / (chart.high - chart.low);
    const x = chart.left + share * (chart.right - chart.left);
    chart.cursor.setAttribute("x1", x);
    chart.cursor.setAttribute("x2", x);
    chart.cursor.classList.toggle("on", drawn);
    chart.readout.textContent = chart.lines
      .map((line) => `${line.label} ${write(line.y[nearest(line.x, step)], line.percent)}`).join(" · ");
  }
  slider.value = step;
  told.textContent = Math.round(step).toLocaleString("en");
}

for (const chart of charts) {
  chart.svg.addEventListener("pointermove", (event) => {
    const box = chart.svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * chart.svg.viewBox.baseVal.width;
    const share = Math.min(Math.max((x - chart.left) / (chart.right - chart.left), 0), 1);
    show(chart.low + share * (chart.high - chart.low));
  });
}
if (charts.length) {
  slider.min = charts[0].low;
  slider.max = charts[0].high;
  slider.step = "any";
  slider.addEventListener("input", () => show(+slider.value));
  document.getElementById("cursor").hidden = false;
  show(charts[0].high, false);
}
