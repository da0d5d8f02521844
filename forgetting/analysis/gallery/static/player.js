// Films in step: one or several, played, stopped, and shown frame by frame.
"use strict";
FORGETTING.player = (videos, works, told) => {
  const rate = Math.max(...works.map((work) => work.rate));
  const ends = works.map((work) => work.frames / work.rate);
  const seconds = Math.max(...ends);
  const frames = Math.round(seconds * rate);
  const leader = videos[ends.indexOf(seconds)];
  const by = (id) => document.getElementById(id);
  const [play, scrub, place] = [by("play"), by("scrub"), by("place")];
  const leave = new AbortController();
  const on = (target, event, does) => target.addEventListener(event, does, { signal: leave.signal });
  let playing = false, starting = false, wanted = 0, seeking = null;

  const frame = () => Math.min(frames - 1, Math.max(0, Math.floor(leader.currentTime * rate + 0.01)));
  const tell = (index) => {
    scrub.value = index;
    const said = told(index, index / rate);
    scrub.setAttribute("aria-valuetext", said);
    place.textContent = said;
  };
  const ready = (video) => video.readyState >= 2 && !video.seeking ? Promise.resolve()
    : new Promise((done) => { for (const event of ["seeked", "loadeddata", "error"]) video.addEventListener(event, done, { once: true }); });
  const known = (video) => video.readyState >= 1 ? Promise.resolve() : new Promise((done) => {
    for (const event of ["loadedmetadata", "error"]) video.addEventListener(event, done, { once: true });
  });
  // The middle of a frame, so that no rounding shows its neighbour; what ends earlier shows its last.
  const middle = (video, index) => {
    const work = works[videos.indexOf(video)];
    const own = Math.min(work.frames - 1, Math.floor((index / rate) * work.rate + 0.01));
    return (own + 0.5) / work.rate;
  };
  const show = async (index) => {
    wanted = Math.min(frames - 1, Math.max(0, index));
    tell(wanted);
    seeking ??= (async () => { // who scrubs faster than films can follow gets the last place that was asked for
      let shown = -1;
      while (shown !== wanted) {
        shown = wanted;
        await Promise.all(videos.map(known));
        for (const video of videos) video.currentTime = middle(video, shown);
        await Promise.all(videos.map(ready));
      }
      seeking = null;
    })();
    return seeking;
  };
  const stop = () => {
    playing = false;
    play.textContent = "play";
    for (const video of videos) { video.pause(); video.playbackRate = 1; }
  };
  const start = async () => {
    if (playing) return;
    playing = starting = true;
    play.textContent = "pause";
    if (frame() >= frames - 1) await show(0);
    await (seeking ?? show(frame()));
    if (playing) await Promise.all(videos.map((video) => video.play().catch(() => {})));
    starting = false;
    if (!playing) stop();
  };
  const toggle = () => playing ? (stop(), show(frame())) : start();
  const step = (by) => { stop(); return show((seeking ? wanted : frame()) + by); };

  const keep = () => { // the others follow: by speed where they are a little off, by a jump where they are far off
    if (leave.signal.aborted) return;
    requestAnimationFrame(keep);
    if (!playing || starting || seeking) return;
    tell(frame());
    if (leader.ended) {
      starting = true;
      show(0).then(() => Promise.all(playing ? videos.map((video) => video.play().catch(() => {})) : [])).finally(() => { starting = false; });
      return;
    }
    for (const [number, video] of videos.entries()) {
      if (video === leader || video.ended || video.seeking || leader.currentTime >= ends[number]) continue;
      const late = leader.currentTime - video.currentTime;
      if (Math.abs(late) > 0.25) video.currentTime = leader.currentTime;
      else video.playbackRate = Math.abs(late) < 0.2 / rate ? 1 : 1 + Math.max(-0.9, Math.min(3, 20 * late));
    }
  };

  scrub.max = frames - 1;
  on(play, "click", toggle);
  on(by("back"), "click", () => step(-1));
  on(by("on"), "click", () => step(1));
  on(scrub, "input", () => { const index = Number(scrub.value); stop(); show(index); });
  on(document, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, pre, a")) return;
    const does = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => { stop(); show(0); }, End: () => { stop(); show(frames - 1); } }[event.key];
    const space = event.key === " " && !event.target.closest("button");
    if (does || space) { event.preventDefault(); does ? does() : toggle(); }
  });
  requestAnimationFrame(keep);
  show(0).then(() => matchMedia("(prefers-reduced-motion: reduce)").matches ? null : start());
  return {
    frames, show, stop,
    seek: (time) => { stop(); return show(Math.floor(time * rate + 0.01)); },
    dispose: () => { stop(); leave.abort(); },
  };
};
