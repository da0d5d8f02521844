// The wall: films play where they are seen, and are found and put in order.
"use strict";
{
  const { works, common, varied } = FORGETTING.all;
  const byKey = new Map(works.map((work) => [work.key, work]));
  const wall = document.getElementById("wall");
  const items = [...wall.children];
  const by = (id) => document.getElementById(id);
  const told = (work, key) => work.figures[key] ?? work.settings[key] ?? common[key];
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // Films are there only while they are seen: a hundred decoders at once are more than a browser likes.
  const show = (item) => {
    const frame = item.querySelector(".frame");
    if (frame.querySelector("video")) return;
    const work = byKey.get(item.id);
    const video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true, disablePictureInPicture: true });
    video.tabIndex = -1;
    video.setAttribute("aria-hidden", "true");
    video.src = `films/${work.key}/${work.wall}`;
    frame.append(video);
    video.play().catch(() => {}); // where nothing may play by itself the poster stays
  };
  const hide = (item) => {
    for (const video of item.querySelectorAll("video")) {
      video.pause();
      video.removeAttribute("src");
      video.load();
      video.remove();
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting && !still.matches ? show(target) : hide(target);
  }, { threshold: 0.25 });
  items.forEach((item) => watcher.observe(item));
  for (const item of items) {
    for (const event of ["pointerenter", "focusin"]) item.addEventListener(event, () => show(item));
    for (const event of ["pointerleave", "focusout"]) item.addEventListener(event, () => still.matches && hide(item));
  }

  // A query is made of words, all of which must be found, and of conditions on keys.
  const conditions = (query) => query.trim().toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const [, key, sign, value] = word.match(/^([\w.@/]+)(=|<|>)(.*)$/) ?? [];
    if (!sign) return (work) => `${work.title} ${Object.values(work.settings).join(" ")}`.toLowerCase().includes(word);
    return (work) => {
      const found = told(work, key);
      if (found === undefined) return false;
      if (sign === "=") return String(found).toLowerCase() === value || (value !== "" && Number(found) === Number(value));
      return sign === "<" ? Number(found) < Number(value) : Number(found) > Number(value);
    };
  });

  const ordered = (key, down) => {
    const order = new Intl.Collator("en", { numeric: true });
    const known = (work) => told(work, key) !== undefined;
    const compare = (a, b) => {
      if (known(a) !== known(b)) return known(a) ? -1 : 1; // who has no such thing comes last, either way
      const [one, other] = [told(a, key), told(b, key)];
      const found = typeof one === "number" && typeof other === "number" ? one - other : order.compare(one, other);
      return down ? -found : found;
    };
    return key ? [...works].sort(compare) : down ? [...works].reverse() : works;
  };

  const choices = varied.map((key) => {
    const values = [...new Set(works.map((work) => work.settings[key]).filter((value) => value !== undefined))];
    values.sort(new Intl.Collator("en", { numeric: true }).compare);
    const label = document.createElement("label"), select = document.createElement("select");
    label.append(`${key} `, select);
    select.append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
    select.dataset.key = key;
    select.setAttribute("aria-label", key);
    by("choices").append(label);
    return select;
  });

  let shown = works;
  const apply = () => {
    const down = by("direction").getAttribute("aria-pressed") === "true";
    const wanted = conditions(by("query").value);
    for (const { dataset: { key }, value } of choices) if (value) wanted.push((work) => work.settings[key] === value);
    shown = ordered(by("sort").value, down).filter((work) => wanted.every((condition) => condition(work)));
    const places = new Set(shown.map((work) => work.key));
    for (const item of items) item.hidden = !places.has(item.id);
    wall.append(...shown.map((work) => by(work.key)));
    by("count").textContent = shown.length === works.length ? `${works.length} films` : `${shown.length} of ${works.length} films`;
    const state = new URLSearchParams();
    if (by("query").value) state.set("find", by("query").value);
    if (by("sort").value) state.set("sort", by("sort").value);
    if (down) state.set("down", "1");
    for (const { dataset: { key }, value } of choices) if (value) state.set(`only.${key}`, value);
    if (state.size || location.hash.length > 1) history.replaceState(null, "", `#${state}`);
  };

  const picks = [...wall.querySelectorAll(".pick input")];
  const pick = () => {
    const keys = picks.filter((one) => one.checked).map((one) => one.value);
    for (const one of picks) one.disabled = keys.length >= 4 && !one.checked;
    by("beside").href = keys.length ? `compare.html#${keys.join(",")}` : "compare.html";
    by("beside").textContent = keys.length ? `compare ${keys.length}` : "compare";
  };
  picks.forEach((one) => one.addEventListener("change", pick));
  by("tools").addEventListener("submit", (event) => event.preventDefault());
  by("tools").addEventListener("input", apply);
  by("direction").addEventListener("click", ({ target }) => {
    target.setAttribute("aria-pressed", String(target.getAttribute("aria-pressed") !== "true"));
    apply();
  });
  by("exhibit").addEventListener("click", () => FORGETTING.exhibit(() => shown));

  const kiosk = location.hash === "#exhibition";
  const state = new URLSearchParams(kiosk ? "" : location.hash.slice(1));
  by("query").value = state.get("find") ?? "";
  by("sort").value = state.get("sort") ?? "";
  by("direction").setAttribute("aria-pressed", String(state.has("down")));
  for (const select of choices) select.value = state.get(`only.${select.dataset.key}`) ?? "";
  by("tools").hidden = by("grammar").hidden = false;
  if (!kiosk) apply();
  pick();
  if (kiosk) FORGETTING.exhibit(() => shown);
}
