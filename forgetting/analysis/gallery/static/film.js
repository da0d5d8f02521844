// A film's page: the curve and the plan follow the playhead, and lead it.
"use strict";
{
  const key = document.querySelector(".page").dataset.key;
  const work = FORGETTING.all.works.find((one) => one.key === key);
  const life = FORGETTING.lives[key];
  const seconds = work.frames / work.rate;
  let player = null;
  const seek = (time) => player?.seek(time);
  const moves = [
    FORGETTING.chart.curve(document.getElementById("curve"), life, seconds, seek),
    FORGETTING.chart.plan(document.getElementById("plan"), life, seconds, seek),
  ];
  const gone = (time) => {
    let place = life.seconds.findIndex((one) => one > time);
    place = (place < 0 ? life.seconds.length : place) - 1;
    return life.gone[Math.max(0, place)];
  };
  player = FORGETTING.player([document.getElementById("film")], [work], (index, time) => {
    for (const move of moves) move(time);
    return `frame ${index + 1} of ${work.frames}, ${time.toFixed(2)} s, ${(100 * gone(time)).toFixed(1)} % gone`;
  });
  FORGETTING.playing = player;
}
