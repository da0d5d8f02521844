// A film's page: curve and plan show the playhead, and a click on them moves it.
"use strict";
{
  const key = document.querySelector(".page").dataset.key;
  const work = FORGETTING.all.works.find((candidate) => candidate.key === key);
  const timeline = FORGETTING.timelines[key];
  const seconds = work.frames / work.rate;
  let player = null;
  const seek = (time) => player?.seek(time);
  const moves = [
    FORGETTING.chart.curve(document.getElementById("curve"), timeline, seconds, seek),
    FORGETTING.chart.plan(document.getElementById("plan"), timeline, seconds, seek),
  ];
  const ablated = (time) => {
    const later = timeline.seconds.findIndex((second) => second > time);
    const current = (later < 0 ? timeline.seconds.length : later) - 1;
    return timeline.ablated[Math.max(0, current)];
  };
  player = FORGETTING.player([document.getElementById("film")], [work], (index, time) => {
    for (const move of moves) move(time);
    return `frame ${index + 1} of ${work.frames}, ${time.toFixed(2)} s, ${(100 * ablated(time)).toFixed(1)} % gone`;
  });
  FORGETTING.playing = player;
}
