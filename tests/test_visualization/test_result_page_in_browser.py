"""The result page in a real browser: load it, use it, and see what changed."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from mmdevis.visualization import ResultPageWriter, track_colour

sys.path.insert(0, str(Path(__file__).parent))
from page_video import LENGTH, NASTY, SIZE, found, picture, truth

webdriver = pytest.importorskip(
    'selenium.webdriver', reason='needs selenium: pip install -e ".[test]"'
)
BROWSER = shutil.which('chromium') or shutil.which('chromium-browser')
DRIVER = shutil.which('chromedriver')
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason='needs Chromium and its driver: apt-get install chromium chromium-driver',
)
FLAGS = (
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--window-size=1300,900',
)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f'--user-data-dir={tmp_path_factory.mktemp("profile")}'):
        options.add_argument(flag)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page in the browser."""

    def __init__(self, browser, path):
        self.browser = browser
        browser.get_log('browser')  # empties it
        browser.get(path.as_uri())
        self.wait_drawn(0)

    def run(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def all(self, selector):
        return self.browser.find_elements('css selector', selector)

    def one(self, selector):
        (element,) = self.all(selector)
        return element

    def texts(self, selector):
        script = 'return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)'
        return self.run(script, selector)

    def row(self, kind, number):
        return self.one(f'.row[data-kind="{kind}"][data-row="{number}"]')

    def press(self, key, selector='body'):
        self.one(selector).send_keys(getattr(webdriver.Keys, key, key))

    def until(self, condition, what):
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end, f'waited in vain for {what}'
            time.sleep(0.02)

    @property
    def frame(self):
        return int(self.one('body').get_attribute('data-frame'))

    @property
    def only(self):
        return self.one('body').get_attribute('data-only') or ''

    def wait_drawn(self, frame, canvas='found'):
        drawn = f'return document.getElementById("{canvas}").dataset.frame'
        self.until(lambda: self.run(drawn) == str(frame), f'frame {frame} to be drawn')

    def colour(self, y, x, canvas='found'):
        """RGB of the canvas at a pixel of the video."""
        script = """
            const canvas = document.getElementById(arguments[0]);
            const scale = canvas.width / arguments[3];
            const at = [arguments[2] + 0.5, arguments[1] + 0.5].map((v) => Math.floor(v * scale));
            return [...canvas.getContext('2d').getImageData(...at, 1, 1).data.slice(0, 3)];
        """
        return np.array(self.run(script, canvas, y, x, SIZE[1]))


@pytest.fixture(scope='module')
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp('page') / 'index.html'
    options = dict(class_names=(NASTY, 'dog'), truth=truth(), truth_names=('cat',))
    with ResultPageWriter(path, NASTY, fps=20, **options) as writer:
        for index in range(LENGTH):
            writer.add(picture(index), found(index))
    return path


@pytest.fixture
def page(browser, file):
    return Page(browser, file)


def plain(index):
    return picture(index)[0, 0, ::-1].astype(int)


def tinted(index, track_id):
    return 0.58 * plain(index) + 0.42 * np.array(track_colour(track_id)[::-1])


def is_close(colour, expected, tolerance=9):
    return bool(np.abs(colour - expected).max() <= tolerance)


def test_loads_without_complaint_and_shows_everything(page):
    assert page.browser.get_log('browser') == []
    assert len(page.all('.row')) == 4 and len(page.all('figure')) == 2
    # Texts stay texts.
    assert page.texts('h1') == [NASTY] and page.all('img') == []
    assert page.browser.title.startswith('</script><img')
    assert page.texts('.row .name') == [NASTY, 'dog', 'cat', 'cat']
    assert page.texts('.row .facts') == [
        '0.90 · IoU 0.90',
        '0.50 · no object',
        f'as 0 · IoU 0.90 · ({NASTY})',
        'missed',
    ]
    assert all(
        element.is_displayed() and element.size['width'] > 20 for element in page.all('.name')
    )


def test_masks_are_drawn_into_the_frames(page):
    page.run('document.getElementById("show-names").click()')
    assert is_close(page.colour(15, 15), tinted(0, 0))
    assert is_close(page.colour(50, 50), plain(0))
    assert is_close(page.colour(32, 12), plain(0))  # the track that scores too little
    assert is_close(page.colour(15, 15, 'truth'), tinted(0, 0))  # in the colour of its track
    page.run('document.getElementById("show-masks").click()')
    assert is_close(page.colour(15, 15), plain(0))


def test_clicking_a_row_isolates_its_track(page):
    page.run('document.getElementById("show-names").click()')
    page.press('ARROW_RIGHT')
    for _ in range(2):
        page.press('ARROW_RIGHT')
    page.wait_drawn(3)
    both = page.colour(15, 15), page.colour(45, 80)
    assert is_close(both[0], tinted(3, 0)) and is_close(both[1], tinted(3, 2))

    page.row('found', 1).click()
    assert page.only == 'found-1'
    assert page.row('found', 1).get_attribute('aria-pressed') == 'true'
    assert 'dimmed' in page.row('found', 0).get_attribute('class').split()
    assert 'Only track 2, dog, is shown. It is in 2 of 8 frames.' in page.one('#status').text
    # The other one is washed out, this one is not.
    washed = page.colour(15, 15)
    assert washed.min() > 190 and np.ptp(washed) < 25
    mine = page.colour(45, 80)
    assert is_close(mine, 0.75 * plain(3) + 0.25 * np.array(track_colour(2)[::-1]))
    # It has no object in the ground truth, so nothing is left there.
    assert page.colour(15, 15, 'truth').min() > 190

    page.row('found', 1).click()
    assert page.only == '' and page.one('#status').text == 'All tracks are shown.'
    assert is_close(page.colour(15, 15), both[0]) and is_close(page.colour(45, 80), both[1])


def test_an_isolated_track_brings_its_ground_truth_and_its_first_frame(page):
    page.row('truth', 0).click()
    assert 'dimmed' not in page.row('found', 0).get_attribute('class').split()
    assert 'dimmed' in page.row('truth', 1).get_attribute('class').split()
    page.row('truth', 1).click()  # the missed object is in frame 6 only
    assert page.frame == 6 and page.only == 'truth-1'
    page.wait_drawn(6, 'truth')
    assert 'object 1, cat' in page.one('#truth').get_attribute('aria-label')
    page.one('#all').click()
    assert page.only == '' and not page.one('#all').is_displayed()


def test_clicking_an_object_in_the_picture_isolates_it(page):
    click = """
        const canvas = document.getElementById('found'), area = canvas.getBoundingClientRect();
        const clientX = area.left + area.width * arguments[0];
        const clientY = area.top + area.height * arguments[1];
        canvas.dispatchEvent(new MouseEvent('click', { clientX, clientY }));
    """
    page.run(click, 15 / SIZE[1], 15 / SIZE[0])
    assert page.only == 'found-0'
    page.run(click, 0.9, 0.9)
    assert page.only == ''


def test_scrubbing(page):
    page.run(
        'const slider = document.getElementById("scrub"); slider.value = 4;'
        'slider.dispatchEvent(new Event("input"))'
    )
    page.wait_drawn(4)
    assert page.one('#position').text == 'Frame 5 of 8 · 0.20 s'
    assert is_close(page.colour(55, 50), plain(4))
    assert 'absent' not in page.row('found', 1).get_attribute('class').split()
    assert page.one('#found').get_attribute('aria-label').startswith('Frame 5: track 0')
    line, slider = (
        page.run(f'return document.getElementById("{name}").getBoundingClientRect().toJSON()')
        for name in ('playhead', 'scrub')
    )
    thumb = slider['left'] + 8 + (slider['width'] - 16) * 4 / (LENGTH - 1)
    assert line['left'] + 1 == pytest.approx(thumb, abs=1)
    page.press('ARROW_RIGHT', '#scrub')
    assert page.frame == 5
    page.press('END')
    assert page.frame == LENGTH - 1
    assert 'absent' in page.row('found', 1).get_attribute('class').split()
    page.press('ARROW_RIGHT')
    assert page.frame == LENGTH - 1
    page.press('HOME')
    assert page.frame == 0


def test_timeline_shows_when_a_track_is_there(page):
    script = """
        return [...document.querySelectorAll('.row[data-kind="found"]')].map((row) =>
          [...row.querySelectorAll('rect')].map((r) => [r.x, r.width].map((v) => v.baseVal.value)))
    """
    assert page.run(script) == [[[0, LENGTH]], [[3, 2]]]
    assert page.row('found', 1).get_attribute('title') == 'dog: frames 4–5'


def test_playing_goes_to_the_end_and_starts_again(page):
    page.press('k')
    assert page.one('#play').get_attribute('aria-pressed') == 'true'
    page.until(lambda: page.frame == LENGTH - 1, 'the end')
    page.until(lambda: page.one('#play').get_attribute('aria-label') == 'Play', 'it to stop')
    page.wait_drawn(LENGTH - 1)
    page.run('document.getElementById("speed").value = "0.25"')
    page.one('#play').click()
    page.until(lambda: 0 < page.frame < LENGTH - 1, 'it to go on')
    page.press('k')
    stopped = page.frame
    time.sleep(0.3)
    assert page.frame == stopped


def test_keys_move_between_rows(page):
    active = 'return document.activeElement.dataset.kind + document.activeElement.dataset.row'
    page.press('ARROW_DOWN')
    page.press('ARROW_DOWN', '.row[data-kind="found"][data-row="0"]')
    assert page.run(active) == 'found1'
    page.press('ENTER', '.row[data-kind="found"][data-row="1"]')
    assert page.only == 'found-1'
    page.press('ESCAPE')
    assert page.only == ''


def test_every_control_has_a_name(page):
    script = """
        return [...document.querySelectorAll('button, input, select, canvas')]
          .filter((e) => !(e.getAttribute('aria-label') || (e.labels && e.labels.length)
            || e.textContent.trim())).length
    """
    assert page.run(script) == 0


@contextmanager
def screen(browser, width, density=2):
    metrics = dict(width=width, height=800, deviceScaleFactor=density, mobile=False)
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
    try:
        yield
    finally:
        browser.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})


SHARP = """
    const canvas = document.getElementById('found');
    return Math.abs(canvas.width - devicePixelRatio * canvas.clientWidth) <= 1;
"""


def test_a_screen_of_another_density_is_followed(browser, file):
    # An emulated screen tells nobody that its density has changed, so the test does it.
    keep = """
        const ask = window.matchMedia.bind(window);
        window.asked = [];
        window.matchMedia = (query) => { asked.push(ask(query)); return asked.at(-1); };
    """
    changed = "asked.at(-1).dispatchEvent(new Event('change'));"
    added = browser.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument', {'source': keep})
    try:
        with screen(browser, 800, 1):
            page = Page(browser, file)
            page.until(lambda: page.run(SHARP), 'the first picture')
        for density in (2, 1.5, 3):
            with screen(browser, 800, density):
                asked = page.run('return asked.length')
                page.run(changed)
                assert page.run('return devicePixelRatio') == density
                assert page.run(SHARP)
                assert page.run('return asked.length') > asked
                assert page.run('return asked.at(-1).media') == f'(resolution: {density:g}dppx)'
    finally:
        browser.execute_cdp_cmd('Page.removeScriptToEvaluateOnNewDocument', added)


@pytest.mark.parametrize('width', [360, 1200])
def test_nothing_sticks_out(browser, file, width):
    with screen(browser, width):
        page = Page(browser, file)
        script = """
            return [...document.querySelectorAll('main *:not(dl):not(dl *)')]
              .filter((e) => e.getBoundingClientRect().right > innerWidth)
              .map((e) => e.id || e.className || e.tagName)
        """
        assert page.run('return innerWidth') == width
        assert page.run(script) == []
        assert page.run('return devicePixelRatio') == 2
        page.until(lambda: page.run(SHARP), 'the picture to be as sharp as the screen')


def test_a_page_without_tracks_and_truth(browser, tmp_path):
    path = tmp_path / 'index.html'
    with ResultPageWriter(path, 'empty', fps=20, score_thr=0.95) as writer:
        writer.add(picture(0), found(0))
    page = Page(browser, path)
    assert page.all('.row') == [] and 'No track scores 0.95 or more.' in page.one('#rows').text
    assert not page.one('#truth').is_displayed()
    page.press('k')
    assert page.frame == 0 and page.browser.get_log('browser') == []
