// Faces are chosen by clicks or keys; the page shows the command that films them.
"use strict";
{
  const by = (id) => document.getElementById(id);
  const faces = [...document.querySelectorAll(".face")];
  const command = by("command"), copy = by("copy"), clear = by("clear");
  const isChosen = (face) => face.getAttribute("aria-pressed") === "true";
  let chosen = []; // seeds in the order in which they were chosen

  // The grid that is closest to a square, as the command line suggests it.
  const grid = (count) => {
    let rows = 1;
    for (let n = 2; n * n <= count; n += 1) if (count % n === 0) rows = n;
    return `${count / rows}x${rows}`;
  };

  const show = () => {
    for (const face of faces) face.setAttribute("aria-pressed", String(chosen.includes(face.value)));
    document.body.classList.toggle("choosing", chosen.length > 0);
    const [first] = chosen;
    command.textContent = !chosen.length ? "Click on a face."
      : chosen.length === 1 ? `${command.dataset.command} latent.seed=${first}`
      : `${command.dataset.command} "latent.seeds=[${chosen.join(",")}]" film.grid=${grid(chosen.length)}`;
    copy.disabled = clear.disabled = !chosen.length;
    copy.textContent = "copy";
    history.replaceState(null, "", `#${chosen.join(",")}`);
  };

  const toggle = (face) => {
    chosen = isChosen(face) ? chosen.filter((seed) => seed !== face.value) : [...chosen, face.value];
    show();
  };

  const copied = async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
    } catch { // a browser may refuse pages from a disk; then the text is selected, to be copied by hand
      getSelection().selectAllChildren(command);
      if (!document.execCommand("copy")) return "selected";
    }
    return "copied";
  };

  // Arrow keys move among the faces, as they are seen.
  const columns = () => faces.findIndex((face) => face.offsetTop > faces[0].offsetTop) + 1 || faces.length + 1;
  const STEPS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => 1 - columns(), ArrowDown: () => columns() - 1 };
  faces.forEach((face, number) => {
    face.addEventListener("click", () => toggle(face));
    face.addEventListener("keydown", (event) => {
      const next = faces[number + (STEPS[event.key]?.() ?? NaN)];
      if (!next || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      next.focus();
    });
  });
  copy.addEventListener("click", async () => { copy.textContent = await copied(); });
  clear.addEventListener("click", () => { chosen = []; show(); });
  const known = new Set(faces.map((face) => face.value));
  chosen = [...new Set(location.hash.slice(1).split(","))].filter((seed) => known.has(seed));
  by("tools").hidden = false;
  show();
}
