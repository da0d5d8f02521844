// Charts of a film, drawn in the width that they have; after that only the playhead moves.
"use strict";
FORGETTING.chart = (() => {
  const WIDEST = 960, LEFT = 44, RIGHT = 12;
  const ABLATED = { label: "units gone", colour: "#5a5a62" };
  const make = (name, attributes = {}, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const label = (x, y, text, anchor = "end") => make("text", { x, y, "text-anchor": anchor }, text);
  const acrossOf = (width, seconds) => (time) => LEFT + (width - LEFT - RIGHT) * Math.min(1, time / seconds);

  // Draw a chart at the width of its parent, again whenever that changes, so that its text keeps its size.
  const fitted = (parent, draw) => {
    let width = 0, time = 0, move = () => {};
    const fit = () => {
      const available = Math.round(Math.min(WIDEST, parent.clientWidth));
      if (!available || available === width) return;
      width = available;
      parent.replaceChildren();
      move = draw(width);
      move(time);
    };
    new ResizeObserver(fit).observe(parent);
    fit();
    return (now) => { time = now; move(now); };
  };

  const frame = (parent, width, height, seconds, description, seek) => {
    const across = acrossOf(width, seconds);
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": description });
    const head = make("line", { class: "playhead", y1: 0, y2: height - 20 });
    for (let n = 0; n <= 4; n += 1) {
      const time = (seconds * n) / 4;
      svg.append(label(across(time), height - 4, `${Number(time.toFixed(1))} s`, n === 0 ? "start" : n === 4 ? "end" : "middle"));
    }
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * width;
      seek(seconds * Math.min(0.9999, Math.max(0, (x - LEFT) / (width - LEFT - RIGHT))));
    });
    parent.append(svg);
    return { svg, head, across, move: (time) => { const x = across(time); head.setAttribute("x1", x); head.setAttribute("x2", x); } };
  };

  const curve = (parent, timeline, film, seek) => fitted(parent, (width) => {
    const HEIGHT = 280, BOTTOM = HEIGHT - 24;
    const drawn = Object.keys(timeline.metrics);
    const lows = drawn.flatMap((name) => timeline.curve[name]).concat(0); // null counts as 0
    const low = Math.max(-1, Math.min(...lows));
    const up = (value) => BOTTOM - (BOTTOM - 8) * ((value - low) / (1 - low));
    const chart = frame(parent, width, HEIGHT, film.seconds, `Forgetting curve: units gone${drawn.length ? `, ${drawn.join(", ")}` : ""}, over ${Number(film.seconds.toFixed(1))} seconds`, seek);
    const path = (times, values) => times.map((time, n) => values[n] === null ? "" // the metric has no value for this frame
      : `${(values[n - 1] ?? null) === null ? "M" : "L"}${chart.across(time).toFixed(1)} ${up(values[n]).toFixed(1)}`).join("");
    const times = timeline.positions.map(film.secondOf);
    const gone = path(times, timeline.positions.map(film.shareAt));
    const area = `${gone}L${chart.across(times.at(-1))} ${up(0)}L${chart.across(times[0])} ${up(0)}Z`;
    chart.svg.append(make("path", { d: area, fill: "#2b2b30" }));
    for (const level of [0, 0.5, 1]) {
      chart.svg.append(make("line", { x1: LEFT, x2: width - RIGHT, y1: up(level), y2: up(level), stroke: "#35353a" }), label(LEFT - 8, up(level) + 4, level));
    }
    for (const name of drawn) {
      const largest = timeline.metrics[name].distance ? Math.max(...timeline.curve[name], 1e-9) : 1;
      const values = timeline.curve[name].map((value) => value === null ? null : value / largest);
      chart.svg.append(make("path", { d: path(timeline.measured.map(film.measuredSecond), values), fill: "none", stroke: timeline.metrics[name].colour, "stroke-width": 1.6 }));
    }
    chart.svg.append(chart.head);
    const legend = Object.assign(document.createElement("ul"), { className: "legend small" });
    for (const { label: text, colour, distance } of [ABLATED, ...Object.values(timeline.metrics)]) {
      const entry = Object.assign(document.createElement("li"), { textContent: distance ? `${text} / largest` : text });
      entry.style.setProperty("--line-colour", colour);
      legend.append(entry);
    }
    parent.append(legend);
    return chart.move;
  });

  const plan = (parent, timeline, film, seek) => fitted(parent, (width) => {
    const names = Object.keys(timeline.layers), high = Math.max(5, Math.min(14, 320 / names.length));
    const height = names.length * high + 24;
    const chart = frame(parent, width, height, film.seconds, `Plan: share of units gone in each of ${names.length} layers, over time; dark is gone`, seek);
    // One small picture, with a pixel for every layer and sample.
    const canvas = Object.assign(document.createElement("canvas"), { width: timeline.positions.length, height: names.length });
    const pen = canvas.getContext("2d"), image = pen.createImageData(canvas.width, canvas.height);
    names.forEach((name, row) => timeline.layers[name].forEach((ablated, column) => {
      image.data.set([...[226, 214, 190].map((value) => 16 + (value - 16) * (1 - ablated)), 255], 4 * (row * canvas.width + column));
    }));
    pen.putImageData(image, 0, 0);
    const start = chart.across(film.secondOf(0));
    const position = { x: start, y: 0, width: width - RIGHT - start, height: height - 24, preserveAspectRatio: "none", style: "image-rendering: pixelated" };
    chart.svg.append(make("image", { ...position, href: canvas.toDataURL() }));
    chart.svg.append(label(LEFT - 8, 10, "first"), label(LEFT - 8, height - 28, "last"), chart.head);
    return chart.move;
  });
  return { curve, plan };
})();
