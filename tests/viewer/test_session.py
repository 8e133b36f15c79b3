import threading
import time

import pytest

from nerf.host.console import Progress, shared_progress
from nerf.viewer import failures
from nerf.viewer.session import Sessions, ViewChanged, unless_view_changed
from nerf.viewer.views import View

VIEW, OTHER = View(None, 1.0, 1.0), View(None, 2.0, 1.0)


@pytest.fixture
def sessions():
    return Sessions()


def test_a_change_is_answered_then_refined_until_the_finest(sessions):
    session = sessions.add(None)
    assert sessions.next_request(0) is None  # its browser has not said where it looks from
    sessions.change(session, VIEW, session.settings._replace(most=65536))
    sizes = []
    while errand := sessions.next_request(0):
        sizes.append(errand.size)
        sessions.done(errand, errand.size or 2048)
    assert sizes == [None, 8192, 32768, 65536]
    sessions.change(session, OTHER)
    assert sessions.next_request(0).size is None


def test_what_changed_while_it_was_answered_is_answered_again(sessions):
    session = sessions.add(None)
    sessions.change(session, VIEW)
    errand = sessions.next_request(0)
    sessions.change(session, OTHER)
    sessions.done(errand, 1024)
    again = sessions.next_request(0)
    assert (errand.view.fov, again.view.fov, again.size) == (1.0, 2.0, None)


def test_answers_come_before_refinements_and_the_longest_unserved_first(sessions):
    one, two = sessions.add(None), sessions.add(None)
    sessions.change(two, VIEW)
    sessions.change(one, VIEW)
    order = []
    for _ in range(4):
        errand = sessions.next_request(0)
        order.append((errand.session is two, errand.size))
        sessions.done(errand, errand.size or 1024)
    assert order == [(True, None), (False, None), (True, 4096), (False, 4096)]
    sessions.change(one, OTHER)
    assert sessions.next_request(0, only_answers=True).session is one
    assert sessions.next_request(0, only_answers=True) is None
    sessions.remove(two)
    assert sessions.next_request(0) is None
    assert len(sessions) == 1


def test_a_move_interrupts_a_refinement_at_the_next_block_but_no_answer(sessions):
    session, checks = sessions.add(None), []
    sessions.change(session, VIEW)
    answer = sessions.next_request(0)
    between = unless_view_changed(sessions, answer, lambda: checks.append(1))
    sessions.change(session, OTHER)
    between()  # an answer is finished though it is out of date
    sessions.done(answer, 1024)
    sessions.done(sessions.next_request(0), 1024)
    refinement = sessions.next_request(0)
    between = unless_view_changed(sessions, refinement, lambda: checks.append(1))
    between()
    sessions.change(sessions.add(None), VIEW)  # another browser waits: this one's refinement is done later
    with pytest.raises(ViewChanged):
        between()
    assert (refinement.size, len(checks)) == (4096, 3)


def test_a_change_wakes_who_waits_for_one(sessions):
    session = sessions.add(None)
    threading.Timer(0.05, lambda: sessions.change(session, VIEW)).start()
    began = time.monotonic()
    assert sessions.next_request(20).session is session
    assert time.monotonic() - began < 10


class Reports:
    def __init__(self, fails=False):
        self.heard, self._fails = [], fails

    def report(self, text, share):
        assert not self._fails
        self.heard.append((text, share))


def test_all_pages_show_the_line_of_a_progress_now_and_then_and_its_end(sessions, monkeypatch, caplog):
    monkeypatch.setattr(failures._log, 'propagate', True)
    gone, page = Reports(fails=True), Reports()
    sessions.add(gone)
    sessions.add(page)
    progress = Progress('work', 1000, is_quiet=True)
    with shared_progress(sessions.report_progress):
        for i in range(1000):
            progress.advance(f'{i} dB')
    (first, share), (last, end) = page.heard
    assert (first, share) == ('work 1/1000, 0 dB', 0.001)
    assert last.startswith('work 1000/1000, ')
    assert last.endswith('/s, 999 dB')
    assert end is None
    assert sessions.reported == (last, None)
    assert len(caplog.messages) == 2  # of the page that is gone: it ends nothing
    progress.advance()
    assert len(page.heard) == 2  # nobody listens any more
