"use strict";
(() => {
  document.documentElement.classList.add("js");
  const frames = JSON.parse(document.getElementById("frames").textContent);
  const timeline = document.getElementById("timeline");
  const readout = document.getElementById("readout");
  const players = [...document.querySelectorAll("audio")];
  const whole = (value) => Math.round(value).toLocaleString("en-US");

  const describe = (seconds) => {
    const column = Math.floor(seconds / frames.hop / frames.step);
    if (column < 0 || column >= frames.gates.length) return `${seconds.toFixed(2)} s`;
    const word = frames.gates[column];
    const taken = frames.names.filter((name, gate) => (word >>> gate) & 1);
    const parts = [`${seconds.toFixed(2)} s`, `frame ${column * frames.step}`];
    if (frames.names.length) parts.push(`gates: ${taken.length ? taken.join(", ") : "none"}`);
    if (frames.instructions) parts.push(`${whole(frames.instructions[column])} instructions`);
    return parts.join(" · ");
  };

  const show = (seconds) => {
    timeline.style.setProperty("--play", Math.min(1, seconds / frames.duration));
    readout.textContent = describe(seconds);
  };

  const align = (seconds, source) => {
    for (const player of players) {
      if (player !== source && Math.abs(player.currentTime - seconds) > 0.03) player.currentTime = seconds;
    }
  };

  const follow = (player) => {
    show(player.currentTime);
    if (!player.paused) requestAnimationFrame(() => follow(player));
  };

  for (const player of players) {
    player.addEventListener("play", () => {
      for (const other of players) {
        if (other !== player) other.pause();
        other.parentElement.classList.toggle("active", other === player);
      }
      follow(player);
    });
    player.addEventListener("pause", () => {
      if (players.every((other) => other.paused)) align(player.currentTime, player);
    });
    player.addEventListener("seeked", () => {
      const running = players.find((other) => !other.paused);
      if (running && running !== player) return;
      show(player.currentTime);
      align(player.currentTime, player);
    });
  }

  const silent = () => {
    document.getElementById("silent").hidden = false;
  };
  for (const player of players) {
    const link = player.parentElement.querySelector("a");
    link.href = player.src;
    if (!player.canPlayType?.("audio/wav") || player.error) silent();
    player.addEventListener("error", silent);
  }

  const secondsAt = (plot, event) => {
    const box = plot.getBoundingClientRect();
    return (Math.min(Math.max(event.clientX - box.left, 0), box.width) / box.width) * frames.duration;
  };
  for (const plot of document.querySelectorAll("[data-plot]")) {
    plot.addEventListener("pointermove", (event) => {
      readout.textContent = describe(secondsAt(plot, event));
    });
    plot.addEventListener("click", (event) => {
      const seconds = secondsAt(plot, event);
      for (const player of players) player.currentTime = seconds;
      show(seconds);
    });
  }

  const box = document.getElementById("box");
  for (const shape of document.querySelectorAll("[data-box]")) {
    shape.addEventListener("pointermove", () => {
      box.textContent = shape.dataset.box;
    });
  }

  const idle = document.getElementById("idle");
  const filter = () => {
    document.getElementById("operator-table").classList.toggle("brief", !idle.checked);
  };
  if (idle) {
    idle.addEventListener("change", filter);
    filter();
  }

  const valueOf = (row, index, numeric) => {
    const cell = row.cells[index];
    const text = cell.dataset.value ?? cell.textContent.trim();
    return numeric ? Number(text) : text;
  };
  const sortBy = (button) => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const numeric = button.dataset.sort === "number";
    const before = head.getAttribute("aria-sort");
    // Numbers start with the largest: that is what one looks for, except for the order of execution.
    const first = numeric && head.cellIndex > 0 ? "descending" : "ascending";
    const order = before === "none" ? first : before === "ascending" ? "descending" : "ascending";
    for (const other of head.parentElement.cells) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const compare = (a, b) => (numeric ? a - b : a.localeCompare(b, "en", { numeric: true }));
    const rows = [...body.rows].map((row) => [valueOf(row, head.cellIndex, numeric), row]);
    rows.sort((a, b) => sign * compare(a[0], b[0]));
    body.append(...rows.map((pair) => pair[1]));
    document.getElementById("sorted").textContent = `Sorted by ${button.textContent}, ${order}`;
  };
  for (const button of document.querySelectorAll("button[data-sort]")) {
    button.addEventListener("click", () => sortBy(button));
  }
})();
