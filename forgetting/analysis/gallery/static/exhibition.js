// Exhibition: one film after the other over the whole screen, for ever, with nothing else. Escape or a click ends it.
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
  const others = [...document.body.children].filter((one) => one !== room);
  for (const one of others) one.inert = true;
  document.documentElement.style.overflow = "hidden";

  const LONGEST = 2; // seconds of a fade
  let place = -1, lock = null, over = false;
  const wait = (seconds) => new Promise((done) => { setTimeout(done, seconds * 1000); });
  const hang = (video) => {
    const list = works();
    place = (place + 1) % list.length;
    video.src = `films/${list[place].key}/${list[place].film}`;
  };
  const nearly = (video, fade) => new Promise((done) => {
    const look = () => {
      if (!over && !video.ended && !video.error && video.currentTime < video.duration - fade) return;
      for (const event of ["timeupdate", "ended", "error", "emptied"]) video.removeEventListener(event, look);
      done();
    };
    for (const event of ["timeupdate", "ended", "error", "emptied"]) video.addEventListener(event, look);
    look();
  });
  const go = async () => { // one film shows, the other waits behind it; then they change places
    let [now, next] = screens;
    hang(now);
    while (!over) {
      const plays = await now.play().then(() => true, () => false);
      if (over) return;
      const fade = plays ? Math.min(LONGEST, now.duration / 3) : 0;
      for (const video of screens) video.style.transitionDuration = `${fade}s`;
      now.classList.toggle("shown", plays);
      next.classList.remove("shown");
      await wait(plays ? fade : 1);
      if (over) return;
      hang(next);
      if (plays) await nearly(now, fade);
      [now, next] = [next, now];
    }
  };
  const awake = async () => {
    if (over || document.visibilityState !== "visible") return;
    try { lock = await navigator.wakeLock?.request("screen"); } catch { lock = null; } // refused on battery; the film goes on
    if (over) lock?.release();
  };
  const leave = () => {
    if (over) return;
    over = true;
    lock?.release();
    document.removeEventListener("keydown", key);
    document.removeEventListener("visibilitychange", awake);
    document.removeEventListener("fullscreenchange", left);
    if (document.fullscreenElement) document.exitFullscreen();
    for (const video of screens) { video.removeAttribute("src"); video.load(); }
    room.remove();
    for (const one of others) one.inert = false;
    document.documentElement.style.overflow = "";
    before?.focus?.();
  };
  const key = (event) => { if (event.key === "Escape") leave(); };
  const left = () => { if (!document.fullscreenElement) leave(); };
  document.addEventListener("keydown", key);
  document.addEventListener("visibilitychange", awake);
  room.addEventListener("click", leave);
  // A page that was opened as an exhibition may not fill the screen by itself; a kiosk's browser does.
  if (navigator.userActivation?.isActive ?? true) {
    room.requestFullscreen?.().then(() => document.addEventListener("fullscreenchange", left), () => {});
  }
  awake();
  if (works().length) go();
};
