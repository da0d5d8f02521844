// The wall: visible films play; films can be searched and sorted.
"use strict";
{
  const { works, common, filters, labels } = FORGETTING.all;
  const OFFERED = 6; // filters beside the search; the others are behind one control
  const byKey = new Map(works.map((work) => [work.key, work]));
  const wall = document.getElementById("wall");
  const items = [...wall.children];
  const by = (id) => document.getElementById(id);
  const valueOf = (work, key) => work.figures[key] ?? work.settings[key] ?? common[key];
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // Videos exist only while they are visible, because a browser cannot decode a hundred of them at once.
  const show = (item) => {
    const frame = item.querySelector(".frame");
    if (frame.querySelector("video")) return;
    const work = byKey.get(item.id);
    const video = Object.assign(document.createElement("video"), { muted: true, loop: true, playsInline: true, disablePictureInPicture: true });
    video.tabIndex = -1;
    video.setAttribute("aria-hidden", "true");
    video.src = `films/${work.key}/${work.wall}`;
    frame.append(video);
    video.play().catch(() => {}); // if the browser forbids autoplay, the poster stays
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

  // A query has words, all of which must occur, and conditions on keys.
  const conditions = (query) => query.trim().toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
    const [, key, sign, value] = word.match(/^([\w.@/]+)(=|<|>)(.*)$/) ?? [];
    if (!sign) return (work) => `${work.title} ${Object.values(work.settings).join(" ")}`.toLowerCase().includes(word);
    return (work) => {
      const actual = valueOf(work, key);
      if (actual === undefined) return false;
      if (sign === "=") return String(actual).toLowerCase() === value || (value !== "" && Number(actual) === Number(value));
      return sign === "<" ? Number(actual) < Number(value) : Number(actual) > Number(value);
    };
  });

  const ordered = (key, down) => {
    const order = new Intl.Collator("en", { numeric: true });
    const hasValue = (work) => valueOf(work, key) !== undefined;
    const compare = (a, b) => {
      if (hasValue(a) !== hasValue(b)) return hasValue(a) ? -1 : 1; // films without a value are last in both directions
      const [left, right] = [valueOf(a, key), valueOf(b, key)];
      const result = typeof left === "number" && typeof right === "number" ? left - right : order.compare(left, right);
      return down ? -result : result;
    };
    return key ? [...works].sort(compare) : down ? [...works].reverse() : works;
  };

  const choices = filters.map((key, number) => {
    const values = [...new Set(works.map((work) => work.settings[key]).filter((value) => value !== undefined))];
    values.sort(new Intl.Collator("en", { numeric: true }).compare);
    const label = document.createElement("label"), select = document.createElement("select");
    label.append(`${labels[key]} `, select);
    select.append(new Option("all", ""), ...values.map((value) => new Option(value, value)));
    select.dataset.key = key;
    select.setAttribute("aria-label", labels[key]);
    by(number < OFFERED ? "choices" : "others").append(label);
    return select;
  });

  let shown = works;
  const apply = () => {
    const down = by("direction").getAttribute("aria-pressed") === "true";
    const wanted = conditions(by("query").value);
    for (const { dataset: { key }, value } of choices) if (value) wanted.push((work) => work.settings[key] === value);
    shown = ordered(by("sort").value, down).filter((work) => wanted.every((condition) => condition(work)));
    const shownKeys = new Set(shown.map((work) => work.key));
    for (const item of items) item.hidden = !shownKeys.has(item.id);
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
    const keys = picks.filter((box) => box.checked).map((box) => box.value);
    for (const box of picks) box.disabled = keys.length >= 4 && !box.checked;
    by("beside").href = keys.length ? `compare.html#${keys.join(",")}` : "compare.html";
    by("beside").textContent = keys.length ? `compare ${keys.length}` : "compare";
  };
  picks.forEach((box) => box.addEventListener("change", pick));
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
  by("tools").hidden = false;
  by("more").open = choices.some((select) => select.value && !select.checkVisibility());
  if (!kiosk) apply();
  pick();
  if (kiosk) FORGETTING.exhibit(() => shown);
}
