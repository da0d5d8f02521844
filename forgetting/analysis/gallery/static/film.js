// A film's page: curve and plan show the playhead, and a click on them moves it.
"use strict";
{
  const key = document.querySelector(".page").dataset.key;
  const work = FORGETTING.all.works.find((candidate) => candidate.key === key);
  const timeline = FORGETTING.timelines[key];
  const { shares } = timeline, last = work.frames - work.lead - 1; // a title stands before frame 0 of the plan
  const film = {
    seconds: work.frames / work.rate,
    secondOf: (position) => (work.lead + position) / work.rate,
    measuredSecond: (second) => work.lead / work.rate + second,
    shareAt: (position) => { // shares of all frames, or of frames spread evenly
      const at = last > 0 ? (Math.min(last, Math.max(0, position)) * (shares.length - 1)) / last : 0;
      const before = Math.floor(at), after = Math.ceil(at);
      return shares[before] + (shares[after] - shares[before]) * (at - before);
    },
  };
  let player = null;
  const seek = (time) => player?.seek(time);
  const moves = [
    FORGETTING.chart.curve(document.getElementById("curve"), timeline, film, seek),
    FORGETTING.chart.plan(document.getElementById("plan"), timeline, film, seek),
  ];
  player = FORGETTING.player([document.getElementById("film")], [work], (index, time) => {
    for (const move of moves) move(time);
    return `frame ${index + 1} of ${work.frames}, ${time.toFixed(2)} s, ${(100 * film.shareAt(index - work.lead)).toFixed(1)} % gone`;
  });
  FORGETTING.playing = player;
}
