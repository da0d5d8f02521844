// Two to four films in step, and the settings in which they differ.
"use strict";
{
  const { works, varied, labels, figures } = FORGETTING.all;
  const byKey = new Map(works.map((work) => [work.key, work]));
  const films = document.getElementById("films"), table = document.getElementById("figures");
  const slots = [...document.querySelectorAll("#slots select")];
  const cell = (name, text, scope) => {
    const node = Object.assign(document.createElement(name), { textContent: text });
    if (scope) node.scope = scope;
    return node;
  };
  const row = (...cells) => { const node = document.createElement("tr"); node.append(...cells); return node; };
  const number = (work, name) => {
    const value = work.figures[name];
    if (value === undefined) return "";
    if (!/^(half_life|last)/.test(name)) return String(Number(value.toPrecision(3)));
    return `${work.censored.includes(name) ? "≥ " : ""}${(100 * value).toFixed(1)} % gone`;
  };

  const showFilms = () => {
    FORGETTING.playing?.dispose();
    const chosen = [...new Set(slots.map((slot) => slot.value).filter(Boolean))].map((key) => byKey.get(key));
    for (const video of films.querySelectorAll("video")) { video.removeAttribute("src"); video.load(); }
    films.replaceChildren(...chosen.map((work) => {
      const figure = document.createElement("figure");
      const video = Object.assign(document.createElement("video"), { muted: true, playsInline: true, preload: "auto" });
      video.setAttribute("aria-label", work.title);
      video.poster = `films/${work.key}/poster.jpg`;
      video.src = `films/${work.key}/${work.film}`;
      const caption = document.createElement("figcaption"), link = document.createElement("a");
      Object.assign(link, { href: `film/${work.key}.html`, textContent: work.title });
      caption.append(link);
      figure.append(video, caption);
      return figure;
    }));
    const differ = varied.filter((key) => new Set(chosen.map((work) => work.settings[key])).size > 1);
    const measured = figures.filter((name) => chosen.some((work) => name in work.figures));
    table.tHead.replaceChildren(row(cell("th", "film", "col"), ...chosen.map((work) => cell("th", work.title, "col"))));
    table.tBodies[0].replaceChildren(
      ...differ.map((key) => row(cell("th", labels[key], "row"), ...chosen.map((work) => cell("td", work.settings[key] ?? "")))),
      ...measured.map((name) => row(cell("th", name.replaceAll("_", " ").replace(".", ", "), "row"), ...chosen.map((work) => cell("td", number(work, name))))),
    );
    history.replaceState(null, "", `#${chosen.map((work) => work.key).join(",")}`);
    FORGETTING.playing = !chosen.length ? null
      : FORGETTING.player([...films.querySelectorAll("video")], chosen, (index, time) => `frame ${index + 1}, ${time.toFixed(2)} s`);
  };

  const requested = location.hash.slice(1).split(",").filter((key) => byKey.has(key));
  const keys = [...new Set(requested.length ? requested : works.slice(0, 2).map((work) => work.key))].slice(0, 4);
  slots.forEach((slot, number) => { slot.value = keys[number] ?? ""; slot.addEventListener("change", showFilms); });
  showFilms();
}
