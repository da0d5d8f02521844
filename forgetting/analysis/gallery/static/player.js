// A player of one or several films in step, which also shows single frames.
"use strict";
FORGETTING.player = (videos, works, describe) => {
  const rate = Math.max(...works.map((work) => work.rate));
  // Films beside each other begin with frame 0 of their plans: titles are left out.
  const begins = works.map((work) => works.length > 1 ? work.lead / work.rate : 0);
  const ends = works.map((work, number) => work.frames / work.rate - begins[number]);
  const seconds = Math.max(...ends);
  const frames = Math.round(seconds * rate);
  const leader = videos[ends.indexOf(seconds)], begin = begins[ends.indexOf(seconds)];
  const by = (id) => document.getElementById(id);
  const [play, scrub, output] = [by("play"), by("scrub"), by("place")];
  const leave = new AbortController();
  const on = (target, event, listener) => target.addEventListener(event, listener, { signal: leave.signal });
  let playing = false, starting = false, wanted = 0, seeking = null;

  // The frame on display. While a film plays its clock runs ahead of its pictures, so the browser is asked which one it shows.
  let displayed = null;
  const frame = () => Math.min(frames - 1, Math.max(0, displayed ?? Math.floor((leader.currentTime - begin) * rate + 0.01)));
  const watch = (_, { mediaTime }) => {
    if (leave.signal.aborted) return;
    if (playing && !starting && !seeking) displayed = Math.round((mediaTime - begin) * rate);
    leader.requestVideoFrameCallback(watch);
  };
  leader.requestVideoFrameCallback?.(watch);
  const showPosition = (index) => {
    scrub.value = index;
    const text = describe(index, index / rate);
    scrub.setAttribute("aria-valuetext", text);
    output.textContent = text;
  };
  const ready = (video) => video.readyState >= 2 && !video.seeking ? Promise.resolve()
    : new Promise((done) => { for (const event of ["seeked", "loadeddata", "error"]) video.addEventListener(event, done, { once: true }); });
  const hasLength = (video) => video.readyState >= 1 ? Promise.resolve() : new Promise((done) => {
    for (const event of ["loadedmetadata", "error"]) video.addEventListener(event, done, { once: true });
  });
  // The time of the middle of a frame, so that rounding does not show its neighbour; shorter films show their last frame.
  const middle = (video, index) => {
    const number = videos.indexOf(video), work = works[number];
    const last = Math.round(ends[number] * work.rate) - 1;
    const own = Math.min(last, Math.floor((index / rate) * work.rate + 0.01));
    return begins[number] + (own + 0.5) / work.rate;
  };
  const show = async (index) => {
    wanted = Math.min(frames - 1, Math.max(0, index));
    displayed = null; // the clock is exact while a film stands still
    showPosition(wanted);
    seeking ??= (async () => { // if the slider moves faster than films can seek, only the last frame wanted is shown
      let shown = -1;
      while (shown !== wanted) {
        shown = wanted;
        await Promise.all(videos.map(hasLength));
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

  const synchronise = () => { // the others follow the leader: small lags change their speed, large ones make them jump
    if (leave.signal.aborted) return;
    requestAnimationFrame(synchronise);
    if (!playing || starting || seeking) return;
    showPosition(frame());
    if (leader.ended) {
      starting = true;
      show(0).then(() => Promise.all(playing ? videos.map((video) => video.play().catch(() => {})) : [])).finally(() => { starting = false; });
      return;
    }
    for (const [number, video] of videos.entries()) {
      if (video === leader || video.ended || video.seeking || leader.currentTime - begin >= ends[number]) continue;
      const lag = leader.currentTime - begin - (video.currentTime - begins[number]);
      if (Math.abs(lag) > 0.25) video.currentTime += lag;
      else video.playbackRate = Math.abs(lag) < 0.2 / rate ? 1 : 1 + Math.max(-0.9, Math.min(3, 20 * lag));
    }
  };

  scrub.max = frames - 1;
  on(play, "click", toggle);
  on(by("back"), "click", () => step(-1));
  on(by("on"), "click", () => step(1));
  on(scrub, "input", () => { const index = Number(scrub.value); stop(); show(index); });
  on(document, "keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, pre, a")) return;
    const action = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => { stop(); show(0); }, End: () => { stop(); show(frames - 1); } }[event.key];
    const space = event.key === " " && !event.target.closest("button");
    if (action || space) { event.preventDefault(); action ? action() : toggle(); }
  });
  requestAnimationFrame(synchronise);
  show(0).then(() => matchMedia("(prefers-reduced-motion: reduce)").matches ? null : start());
  return {
    frames, show, stop,
    seek: (time) => { stop(); return show(Math.floor(time * rate + 0.01)); },
    dispose: () => { stop(); leave.abort(); },
  };
};
