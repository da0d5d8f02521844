// The exhibition: all films in turn, endlessly, on the whole screen. Escape or a click ends it.
"use strict";
FORGETTING.exhibit = (works) => {
  const before = document.activeElement;
  const room = Object.assign(document.createElement("div"), { className: "exhibition", tabIndex: -1 });
  room.setAttribute("role", "dialog");
  room.setAttribute("aria-modal", "true");
  room.setAttribute("aria-label", "exhibition; Escape ends it");
  const screens = [0, 1].map(() => Object.assign(document.createElement("video"), { muted: true, playsInline: true, preload: "auto" }));
  room.append(...screens);
  document.body.append(room);
  room.focus();
  const others = [...document.body.children].filter((element) => element !== room);
  for (const element of others) element.inert = true;
  document.documentElement.style.overflow = "hidden";

  const LONGEST = 2; // seconds of a fade
  let position = -1, lock = null, over = false;
  const wait = (seconds) => new Promise((done) => { setTimeout(done, seconds * 1000); });
  const load = (video) => {
    const list = works();
    position = (position + 1) % list.length;
    video.src = `films/${list[position].key}/${list[position].film}`;
  };
  const nearEnd = (video, fade) => new Promise((done) => {
    const look = () => {
      if (!over && !video.ended && !video.error && video.currentTime < video.duration - fade) return;
      for (const event of ["timeupdate", "ended", "error", "emptied"]) video.removeEventListener(event, look);
      done();
    };
    for (const event of ["timeupdate", "ended", "error", "emptied"]) video.addEventListener(event, look);
    look();
  });
  const run = async () => { // one video shows a film while the other loads the next; then they swap
    let [now, next] = screens;
    load(now);
    while (!over) {
      const plays = await now.play().then(() => true, () => false);
      if (over) return;
      const fade = plays ? Math.min(LONGEST, now.duration / 3) : 0;
      for (const video of screens) video.style.transitionDuration = `${fade}s`;
      now.classList.toggle("shown", plays);
      next.classList.remove("shown");
      await wait(plays ? fade : 1);
      if (over) return;
      load(next);
      if (plays) await nearEnd(now, fade);
      [now, next] = [next, now];
    }
  };
  const keepAwake = async () => {
    if (over || document.visibilityState !== "visible") return;
    try { lock = await navigator.wakeLock?.request("screen"); } catch { lock = null; } // refused, on battery for example; the film still plays
    if (over) lock?.release();
  };
  const leave = () => {
    if (over) return;
    over = true;
    lock?.release();
    document.removeEventListener("keydown", key);
    document.removeEventListener("visibilitychange", keepAwake);
    document.removeEventListener("fullscreenchange", left);
    if (document.fullscreenElement) document.exitFullscreen();
    for (const video of screens) { video.removeAttribute("src"); video.load(); }
    room.remove();
    for (const element of others) element.inert = false;
    document.documentElement.style.overflow = "";
    before?.focus?.();
  };
  const key = (event) => { if (event.key === "Escape") leave(); };
  const left = () => { if (!document.fullscreenElement) leave(); };
  document.addEventListener("keydown", key);
  document.addEventListener("visibilitychange", keepAwake);
  room.addEventListener("click", leave);
  // Full screen needs a click or a key; a page that is opened at #exhibition fills its window only.
  if (navigator.userActivation?.isActive ?? true) {
    room.requestFullscreen?.().then(() => document.addEventListener("fullscreenchange", left), () => {});
  }
  keepAwake();
  if (works().length) run();
};
