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

  const FADE = 2;
  let place = -1, front = 0, lock = null, over = false;
  const hang = (video) => {
    const list = works();
    if (!list.length) return;
    place = (place + 1) % list.length;
    video.src = `films/${list[place].key}/${list[place].film}`;
  };
  const change = async () => {
    const [old, now] = [screens[front], screens[1 - front]];
    front = 1 - front;
    await now.play().catch(() => {});
    if (over) return;
    now.classList.add("shown");
    old.classList.remove("shown");
    setTimeout(() => { if (!over) { old.pause(); hang(old); } }, (FADE + 0.2) * 1000);
  };
  for (const video of screens) {
    // The next begins while this one goes; a film shorter than two fades goes at its end.
    const late = () => video === screens[front] && video.classList.contains("shown")
      && video.currentTime >= video.duration - Math.min(FADE, video.duration / 3) && change();
    video.addEventListener("timeupdate", late);
    video.addEventListener("ended", late);
    video.addEventListener("error", () => { if (!over && video.getAttribute("src")) hang(video); });
  }
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
  room.requestFullscreen?.().then(() => document.addEventListener("fullscreenchange", left), () => {});
  awake();
  hang(screens[1]);
  change().then(() => setTimeout(() => !over && hang(screens[1 - front]), 100));
};
