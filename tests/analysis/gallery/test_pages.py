"""The pages of a gallery in Chromium: the wall, films, comparison, exhibition, accessibility."""

import os
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from forgetting.ablation import plan as plans
from forgetting.film import decoder
from helpers import accessibility_violations, gallery_data

pytestmark = pytest.mark.slow


@pytest.fixture
def page(browser, site):
    """A page without errors, which requests nothing outside of its folder."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page, problems = context.new_page(), []
    page.on(
        "console",
        lambda message: (
            problems.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: (
            None if request.url.startswith(("file:", "data:")) else problems.append(request.url)
        ),
    )
    page.on(
        "requestfailed",
        lambda request: (
            None if "ERR_ABORTED" in (request.failure or "") else problems.append(request.url)
        ),
    )
    page.set_default_timeout(20_000)
    yield page
    context.close()
    assert not problems


def opened(page, site, name="index.html", at=""):
    page.goto((site / name).as_uri() + at)
    return page


def titles(page):
    return [title.inner_text() for title in page.locator("#wall li:not([hidden]) .title").all()]


def keys(site):
    return {work["title"]: work["key"] for work in gallery_data(site / "runs.js")["works"]}


# --- the wall ---


def test_visible_films_play(page, site):
    opened(page, site)
    page.wait_for_function("document.querySelectorAll('#wall video').length === 5")
    page.wait_for_function(
        "[...document.querySelectorAll('#wall video')]"
        ".every(video => video.currentTime > 0.3 && !video.paused && video.muted)"
    )
    page.wait_for_function(
        "[...document.querySelectorAll('#wall video')].some(video => video.played.length"
        " && video.played.end(0) >= video.duration - 0.2)"
    )
    assert page.evaluate("[...document.querySelectorAll('#wall video')].every(video => video.loop)")


def test_films_outside_the_window_are_not_loaded(page, many):
    opened(page, many)
    page.wait_for_function("document.querySelectorAll('#wall video').length > 5")
    first = page.locator("#wall li").first
    assert page.locator("#wall video").count() < 38
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function("!document.querySelector('#wall li:first-child video')")
    page.wait_for_function("document.querySelector('#wall li:last-child video')?.currentTime > 0.1")
    assert first.locator("video").count() == 0


def test_with_reduced_motion_a_film_plays_only_when_focused(browser, site):
    context = browser.new_context(reduced_motion="reduce")
    page = opened(context.new_page(), site)
    page.wait_for_timeout(500)
    assert page.locator("#wall video").count() == 0
    page.locator("#wall .work").first.focus()
    page.wait_for_function("document.querySelector('#wall video')?.currentTime > 0.1")
    context.close()


def test_filters_and_sorting(page, site):
    opened(page, site)
    assert len(titles(page)) == 5
    page.fill("#query", "random")
    assert len(titles(page)) == 2
    assert page.inner_text("#count") == "2 of 5 films"
    page.fill("#query", "film.duration=3 random")
    assert len(titles(page)) == 1
    page.fill("#query", "operator=zero")  # a setting that all have
    assert len(titles(page)) == 5
    page.fill("#query", "film.duration<3")
    assert len(titles(page)) == 1
    page.fill("#query", "render_seconds>0 half_life.structure>0")
    assert len(titles(page)) == 4, "one was not measured"
    page.fill("#query", "render_seconds>1000")
    assert titles(page) == []
    page.fill("#query", "")
    page.get_by_role("combobox", name="seed", exact=True).select_option("2")
    assert len(titles(page)) == 2
    page.get_by_role("combobox", name="seed", exact=True).select_option("")
    figures = {
        work["title"]: work["figures"].get("half_life.structure")
        for work in gallery_data(site / "runs.js")["works"]
    }
    halves = sorted(value for value in figures.values() if value is not None)
    page.get_by_label("sort by").select_option("half_life.structure")
    assert [figures[title] for title in titles(page)] == [*halves, None]
    page.click("#direction")
    assert [figures[title] for title in titles(page)] == [*halves[::-1], None]
    page.reload()
    assert page.input_value("#sort") == "half_life.structure", "the address holds the filters"
    assert [figures[title] for title in titles(page)] == [*halves[::-1], None]


def test_numbers_are_sorted_as_numbers(page, many):
    opened(page, many, at="#sort=evenness")
    order = [work["figures"]["evenness"] for work in gallery_data(many / "runs.js")["works"]]
    shown = page.evaluate(
        "[...document.querySelectorAll('#wall li')]"
        ".map(li => FORGETTING.all.works.find(work => work.key === li.id).figures.evenness)"
    )
    assert shown == sorted(order)
    page.fill("#query", "latent.seed>118 latent.seed<123")
    assert sorted(titles(page)) == [f"contribution, seed {number}" for number in range(119, 123)]


def test_films_are_called_by_what_differs_in_words(page, site):
    opened(page, site)
    assert titles(page) == [
        "contribution, seed 1",
        "contribution, seed 2",
        "contribution, seed 3",
        "random, seed 1",
        "random, seed 2",
    ]
    names = page.locator("#choices select").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert names[:2] == ["ordering", "seed"]
    values = page.locator("#tools option").all_inner_texts()
    assert not [text for text in values if re.search(r"[\[\]{}/]|None|True|False", text)]


def test_at_most_six_filters_stand_beside_the_search(page, many_settings):
    data = gallery_data(many_settings / "runs.js")
    assert len(data["filters"]) > 6
    opened(page, many_settings)
    assert page.locator("#tools select:visible").count() == 6 + 1  # and the order
    page.get_by_text("more filters").click()
    assert page.locator("#tools select:visible").count() == len(data["filters"]) + 1
    label = data["labels"][data["filters"][-1]]
    page.get_by_role("combobox", name=label, exact=True).select_option(index=1)
    assert re.fullmatch(r"[1-8] of 9 films", page.inner_text("#count"))
    page.reload()
    assert page.locator("#more").get_attribute("open") is not None, "a filter in use is visible"


# --- a phone ---


@pytest.fixture
def phone(browser):
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


@pytest.mark.parametrize("name", ["index.html", "film", "compare.html"])
def test_a_phone_shows_pages_without_scrolling_sideways(phone, many_settings, name):
    path = f"film/{next(iter(keys(many_settings).values()))}.html" if name == "film" else name
    opened(phone, many_settings, path)
    phone.wait_for_timeout(300)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert accessibility_violations(phone) == []
    small = phone.evaluate(
        """[...document.querySelectorAll(
            'button, select, .pick, .button, summary, input:not(.pick input)'
        )].filter(one => one.checkVisibility() && one.getBoundingClientRect().height < 44)
        .map(one => one.outerHTML)"""
    )
    assert small == [], "what is touched is at least 44 pixels high"


def test_charts_are_legible_on_a_phone(phone, site):
    opened(phone, site, f"film/{next(iter(keys(site).values()))}.html")
    phone.wait_for_selector("#curve svg")
    heights = phone.evaluate(
        "[...document.querySelectorAll('.chart text')]"
        ".map(one => one.getBoundingClientRect().height)"
    )
    assert len(heights) > 8
    assert min(heights) >= 11
    phone.set_viewport_size({"width": 844, "height": 390})
    phone.wait_for_function("document.querySelector('#curve svg').viewBox.baseVal.width > 500")
    assert phone.locator("#curve .playhead").get_attribute("x1"), "the playhead stays"


def test_tick_boxes_are_large_enough_for_a_finger(page, site):
    opened(page, site)
    box = page.locator(".pick").first.bounding_box()
    assert box["width"] >= 44
    assert box["height"] >= 44
    page.mouse.click(box["x"] + 3, box["y"] + 3)
    assert page.locator(".pick input").first.is_checked()


# --- a film ---


def test_the_share_of_units_is_that_of_the_frame_on_display(page, site):
    """Also where seconds, rounded to four digits, are later than the frame, as in 2/12 s."""
    for work in gallery_data(site / "runs.js")["works"]:
        plan = plans.load_plan(site / "films" / work["key"] / "plan.npz")
        opened(page, site, f"film/{work['key']}.html")
        page.wait_for_function("!!FORGETTING.playing")
        page.evaluate("FORGETTING.playing.stop()")
        shown = page.evaluate(
            """async frames => {
              const texts = [];
              for (let n = 0; n < frames; n += 1) {
                FORGETTING.playing.show(n);
                texts.push(document.querySelector('#place').textContent);
              }
              return texts;
            }""",
            work["frames"],
        )
        every = len(plan) // (work["frames"] - work["lead"])
        for index, text in enumerate(shown):  # the title stands before the intact picture
            share = 100 * plan.ablated_share(max(0, index - work["lead"]) * every)
            assert text.startswith(f"frame {index + 1} of {work['frames']}, ")
            assert float(text.split(", ")[2].split()[0]) == pytest.approx(share, abs=0.051), index


def test_while_a_film_plays_its_text_names_the_frame_on_display(page, site):
    work = next(work for work in gallery_data(site / "runs.js")["works"] if work["frames"] == 36)
    opened(page, site, f"film/{work['key']}.html")
    page.wait_for_function("document.querySelector('#film').currentTime > 0.2")
    pairs = page.evaluate(
        """new Promise(done => {
          const video = document.querySelector('#film'), pairs = [];
          const next = (_, { mediaTime }) => requestAnimationFrame(() => {
            pairs.push([mediaTime, document.querySelector('#place').textContent]);
            pairs.length < 20 ? video.requestVideoFrameCallback(next) : done(pairs);
          });
          video.requestVideoFrameCallback(next);
        })"""
    )
    for time_of_frame, text in pairs:
        assert abs(int(text.split()[1]) - 1 - round(12 * time_of_frame)) <= 1
    exact = [int(text.split()[1]) - 1 == round(12 * when) for when, text in pairs]
    assert np.mean(exact) > 0.7, "the browser may show the next frame in between"


def test_stepping_through_a_film(page, site, runs):
    key = next(
        work["key"]
        for work in gallery_data(site / "runs.js")["works"]
        if work["title"].startswith("contribution") and work["frames"] == 36
    )
    opened(page, site, f"film/{key}.html")
    page.wait_for_function("document.querySelector('#film').currentTime > 0.2")
    page.evaluate("FORGETTING.playing.stop()")
    frames = np.stack(list(decoder.decode_frames(site / "films" / key / "film.mp4"))).astype(float)

    def frame_on_display():
        page.wait_for_timeout(150)
        page.locator("#film").screenshot(path=str(runs / "displayed.png"))
        picture = (
            Image.open(runs / "displayed.png")
            .convert("RGB")
            .resize(frames.shape[2:0:-1], Image.Resampling.BOX)
        )
        return int(np.abs(frames - np.asarray(picture).astype(float)).mean((1, 2, 3)).argmin())

    page.evaluate("FORGETTING.playing.show(0)")
    page.wait_for_function(
        "document.querySelector('#place').textContent.startsWith('frame 1 of 36')"
    )
    assert frame_on_display() == 0
    for expected in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        assert frame_on_display() == expected
    page.keyboard.press("ArrowLeft")
    assert frame_on_display() == 2
    page.keyboard.press("End")
    assert frame_on_display() == 35
    page.keyboard.press("ArrowRight")
    assert frame_on_display() == 35
    page.locator("#scrub").fill("20")
    assert frame_on_display() == 20
    assert page.inner_text("#place").startswith("frame 21 of 36, 1.67 s, ")
    head = page.locator("#curve .playhead").get_attribute("x1")
    page.locator("#back").click()
    assert frame_on_display() == 19
    assert float(page.locator("#curve .playhead").get_attribute("x1")) < float(head)
    box = page.locator("#plan svg").bounding_box()
    page.locator("#plan svg").click(position={"x": box["width"] * 0.985, "y": 10})
    page.wait_for_function("document.querySelector('#place').textContent.startsWith('frame 36')")
    page.locator("h1").click()
    page.keyboard.press("Space")
    page.wait_for_function(
        "document.querySelector('#film').currentTime < 2 && !document.querySelector('#film').paused"
    )


def test_every_page_opens(page, site):
    for title, key in keys(site).items():
        opened(page, site, f"film/{key}.html")
        page.wait_for_function("document.querySelector('#film').currentTime > 0.2")
        assert page.inner_text("h1") == title
        assert page.locator("svg path").count() >= 1
        assert "_target_: film/film" in page.inner_text(".recipe")


# --- side by side ---

RECORD_TIMES = """() => {
  globalThis.clocks = [];
  const videos = [...document.querySelectorAll('video')];
  globalThis.shown = videos.map(() => []);
  videos.forEach((video, number) => {
    const next = (_, { expectedDisplayTime, mediaTime }) => {
      shown[number].push([expectedDisplayTime, mediaTime]);
      video.requestVideoFrameCallback(next);
    };
    video.requestVideoFrameCallback(next);
  });
  const look = () => {
    if (videos.every((video) => !video.paused && !video.seeking && !video.ended))
      clocks.push(videos.map((video) => video.currentTime));
    requestAnimationFrame(look);
  };
  look();
}"""


def display_difference(shown):
    """Return by how many seconds the frames on display differ, at many instants.

    The instants are those at which the browser shows frames, because its callbacks may be late.
    """
    times = [np.array(film) for film in shown]
    instants = np.arange(max(film[0, 0] for film in times), min(film[-1, 0] for film in times), 4.0)
    return np.ptp(
        [film[np.searchsorted(film[:, 0], instants, side="right") - 1, 1] for film in times], axis=0
    )


def test_compared_films_differ_by_at_most_a_frame(page, site):
    """While they play, when they start again, and after one of them was shifted."""
    works = gallery_data(site / "runs.js")["works"]
    same = [work["key"] for work in works if work["frames"] == 36][:3]
    opened(page, site, "compare.html", f"#{','.join(same)}")
    page.wait_for_function(
        "FORGETTING.playing"
        " && [...document.querySelectorAll('video')].every(video => video.currentTime > 0.7)"
    )
    # Only now, because a film that starts late runs a little faster at first.
    page.evaluate(RECORD_TIMES)
    page.wait_for_timeout(4000)
    clocks, shown = (
        np.array(page.evaluate("clocks")),
        display_difference(page.evaluate("shown")) * 12,
    )
    assert len(clocks) > 40
    assert np.ptp(clocks[:, 0]) > 1.5
    assert np.ptp(clocks, axis=1).max() * 12 <= 1
    assert np.quantile(shown, 0.98) <= 1.01, np.unique(shown.round(1), return_counts=True)
    page.wait_for_function("document.querySelector('video').currentTime < 1.2")
    page.evaluate("document.querySelectorAll('video')[1].currentTime += 0.2; clocks.length = 0")
    page.wait_for_timeout(1500)
    assert np.ptp(np.array(page.evaluate("clocks"))[-5:], axis=1).max() * 12 <= 1
    page.evaluate("FORGETTING.playing.stop()")
    page.evaluate("FORGETTING.playing.show(17)")
    at = page.evaluate(
        "[...document.querySelectorAll('video')]"
        ".map(video => Math.floor(video.currentTime * 12 + 0.01))"
    )
    assert at == [17, 17, 17]


def test_films_of_different_lengths_show_their_own_last_frame(page, site):
    works = sorted(
        gallery_data(site / "runs.js")["works"], key=lambda work: work["frames"] / work["rate"]
    )
    short, long = works[0], works[-1]
    opened(page, site, "compare.html", f"#{short['key']},{long['key']}")
    page.wait_for_function("FORGETTING.playing")
    page.evaluate("FORGETTING.playing.stop()")
    page.evaluate("FORGETTING.playing.show(FORGETTING.playing.frames - 1)")
    at = page.evaluate("[...document.querySelectorAll('video')].map(video => video.currentTime)")
    assert at[0] == pytest.approx((short["frames"] - 0.5) / short["rate"], abs=0.01)
    assert at[1] == pytest.approx((long["frames"] - 0.5) / long["rate"], abs=0.01)


def test_compared_films_begin_without_their_titles(page, site):
    works = gallery_data(site / "runs.js")["works"]
    (titled,) = [work for work in works if work["lead"]]
    other = next(work for work in works if not work["lead"])
    opened(page, site, "compare.html", f"#{titled['key']},{other['key']}")
    page.wait_for_function("FORGETTING.playing")
    page.evaluate("FORGETTING.playing.stop()")
    for index in (0, 6):
        page.evaluate(f"FORGETTING.playing.show({index})")
        at = page.evaluate(
            "[...document.querySelectorAll('video')].map(video => video.currentTime)"
        )
        at[0] -= titled["lead"] / titled["rate"]
        frames = [int(time * work["rate"]) for time, work in zip(at, (titled, other), strict=True)]
        assert frames == [index * titled["rate"] // other["rate"], index]


def test_films_are_chosen_on_the_wall_and_on_the_page(page, site):
    opened(page, site)
    for box in page.locator(".pick input").all()[:4]:
        box.check()
    assert page.locator(".pick input").last.is_disabled()
    page.locator(".pick input").first.uncheck()
    page.click("#beside")
    assert page.locator("video").count() == 3
    page.get_by_label("film 3").select_option("")
    assert page.locator("video").count() == 2
    assert page.locator("#figures thead th").count() == 3
    assert "half life, structure" in page.inner_text("#figures")


# --- exhibition ---


RECORD_WAKE_LOCKS = """
globalThis.requests = [];
const lock = { release() { requests.push('released'); } };
if (navigator.wakeLock)
  navigator.wakeLock.request = async (what) => { requests.push(what); return lock; };
"""


def test_an_exhibition_repeats_until_escape(page, site):
    page.add_init_script(RECORD_WAKE_LOCKS)
    opened(page, site)
    page.wait_for_function("!!FORGETTING.exhibit")
    page.fill("#query", "film.duration<4")
    page.click("#exhibit")
    shown = "document.querySelector('.exhibition video.shown')"
    page.wait_for_function(f"{shown}?.currentTime > 0.2")
    assert page.evaluate("document.fullscreenElement?.className") == "exhibition"
    assert page.evaluate("getComputedStyle(document.querySelector('.exhibition')).cursor") == "none"
    displayed = []
    deadline = time.monotonic() + 40
    while len(displayed) < 6 and time.monotonic() < deadline:
        now = page.evaluate(f"{shown}.src.split('/').at(-2)")
        displayed += [now] if displayed[-1:] != [now] else []
        page.wait_for_timeout(50)
    assert len(displayed) == 6
    assert displayed[4:] == displayed[:2], "after the last comes the first"
    assert len(set(displayed)) == 4
    mixed = page.evaluate(
        "[...document.querySelectorAll('.exhibition video')]"
        ".map(video => Number(getComputedStyle(video).opacity))"
    )
    assert 0.9 < sum(mixed) < 1.1
    page.keyboard.press("Escape")
    page.wait_for_function("!document.querySelector('.exhibition')")
    assert page.evaluate("document.fullscreenElement") is None
    assert page.evaluate("requests") == ["screen", "released"]
    assert page.evaluate("document.activeElement.id") == "exhibit"


def test_an_exhibition_opens_by_its_address(page, site):
    opened(page, site, at="#exhibition")
    page.wait_for_function("document.querySelector('.exhibition video.shown')?.currentTime > 0.2")


# --- accessibility and memory ---


@pytest.mark.parametrize("name", ["index.html", "film", "compare.html", "index.html#exhibition"])
def test_pages_pass_axe(page, site, name):
    path, _, at = name.partition("#")
    path = f"film/{next(iter(keys(site).values()))}.html" if path == "film" else path
    opened(page, site, path, f"#{at}" if at else "")
    page.wait_for_timeout(500)
    assert accessibility_violations(page) == []


def test_everything_is_reached_by_the_keyboard(page, site):
    opened(page, site)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className"
                " || document.activeElement.type"
            )
        )
    assert {"query", "sort", "direction", "exhibit", "beside", "work", "checkbox"} <= reached
    page.locator(".work").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#film')")


def test_without_scripts_pages_show_posters_and_links(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = opened(context.new_page(), site)
    assert page.locator("#wall img").count() == 5
    page.locator(".work").first.click()
    assert page.locator("video").count() == 1
    context.close()


def processes():
    """Return the parent and the command of every process."""
    lines = subprocess.check_output(["ps", "-eo", "pid=,ppid=,args="], text=True).splitlines()
    return {
        int(pid): (int(parent), command)
        for pid, parent, command in (line.split(None, 2) for line in lines)
    }


def used_memory(only: str = "") -> float:
    """Return the megabytes of this process's children whose command holds ``only``."""
    running, family = processes(), {os.getpid()}
    while more := {pid for pid, (parent, _) in running.items() if parent in family} - family:
        family |= more
    total = 0
    for pid in family - {os.getpid()}:
        try:
            lines = (
                Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                if only in running[pid][1]
                else []
            )
        except OSError:  # it has ended
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


@pytest.mark.soak
@pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells what processes share"
)
def test_a_page_of_a_hundred_films_opens_quickly_and_needs_little_memory(page, hundred):
    """An empty browser needs more than a page may add: the renderers are measured alone, too."""
    page.goto("about:blank")
    page.wait_for_timeout(500)
    before, started = used_memory(), time.monotonic()
    opened(page, hundred)
    page.wait_for_function("document.querySelector('#wall video')?.readyState >= 2")
    took = time.monotonic() - started
    page.wait_for_timeout(2000)
    for _ in range(3):
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_timeout(700)
        page.evaluate("scrollTo(0, 0)")
        page.wait_for_timeout(700)
    added, renderers = used_memory() - before, used_memory("--type=renderer")
    assert took < 2
    assert added < 300
    assert 10 < renderers < 300
