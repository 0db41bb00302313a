"""gunicorn's threaded worker, in which no thread ever waits for a sender.

As it comes (27.0), one thread waits for all connections, hands each request to a pool of others and
gets the connection back: nine switches between threads an event. And its threads wait for the rest
of a request: with as many dripping connections as threads, nobody else is served. Here all threads
wait together for all connections; the kernel wakes one of them, the one that ran last, which

1. reads what is there. Is it not a whole request, it lets the connection go back to waiting;
2. answers at once what needs neither database nor Stripe: refusals and /healthz among it;
3. works on an event, or leaves it in a queue for the next that comes free when WEB_THREADS of them
   are at work. /readyz has a thread of its own.

So that there is always one who reads, one thread more stands by, and takes part only while those at
work make no headway: a hand-over between threads for each event would cost a tenth of it.
The main thread lets connections in, ends who takes too long, and answers, with 503, whatever has
waited LAST_SECONDS since its last byte came, whoever is at work on it. When there is no room for
another connection, the one that has been idle longest makes it.
"""

import queue
import select
import selectors
import socket
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Final

from gunicorn.workers import gthread  # type: ignore[import-untyped]

from webhook.app import ANSWER_SECONDS, Answer, refusal, turned_away
from webhook.receiver import Fields
from webhook.worker.capacity import Capacity
from webhook.worker.request_reader import Refused, Request, RequestReader
from webhook.worker.sender import GO_ON, Job, Sender, State, written
from webhook.worker.work_queue import WorkQueue

REQUEST_SECONDS: Final = 5.0
"""How long a sender may take over a request, from its first byte to its last."""

LAST_SECONDS: Final = 4.75
"""When a request that nobody has answered is answered all the same, with 503."""

LINGER_SECONDS: Final = 5.0
"""How long a sender who had its last answer may go on sending until it reads it."""

MOST_IN_A_ROW: Final = 16
"""Requests sent without waiting for an answer; more would keep a thread from all others."""

LOOK_SECONDS: Final = 1.0
SOON_SECONDS: Final = 0.05
STAND_BY_SECONDS: Final = 0.1


class Worker(gthread.ThreadWorker):  # type: ignore[misc]
    """A thread worker without a hand-over between threads, whom no sender holds up."""

    alive: bool

    def run(self) -> None:
        """Accept, and end what is overdue, until told to stop; then let what is in hand end."""
        self._ready = select.epoll()
        most_body = self.wsgi.max_body_bytes
        self._capacity = Capacity(self.cfg.worker_connections, self.cfg.threads, most_body)
        # By file number, those that nobody has in hand: whoever takes one out owns it.
        self._waiting: dict[int, Sender] = {}
        # Whole requests that have had no answer: whoever takes one out answers it.
        self._owed: dict[Sender, Job] = {}
        self._queue: WorkQueue[Job] = WorkQueue(self.cfg.threads)
        self._checks: queue.SimpleQueue[Job] = queue.SimpleQueue()
        works = [self._serve] * self.cfg.threads + [self._stand_by, self._check]
        for number, work in enumerate(works):
            threading.Thread(target=work, name=f"serve-{number}", daemon=True).start()
        self._next_look = 0.0
        self._allowed: dict[State, float] = {
            State.LEAVING: LINGER_SECONDS,
            State.SILENT: self.cfg.keepalive,
            State.UNFINISHED: REQUEST_SECONDS,
            State.KEPT: self.cfg.keepalive,
        }
        wake_up = self.method_queue
        self.poller.register(wake_up.fileno(), selectors.EVENT_READ, wake_up.run_callbacks)
        while self.alive and self.is_parent_alive():
            self.notify()
            is_full = self._capacity.is_full
            self.set_accept_enabled(not is_full)
            self.wait_for_and_dispatch_events(SOON_SECONDS if is_full else self._patience())
            self._end_overdue()
        self.alive = False
        self._finish()

    def accept(self, listener: socket.socket) -> None:
        """Let in all who wait at the door; no thread needs to know before they say something."""
        while True:
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if self._capacity.is_of_the_network(error):
                    return
                # No file number is left, whoever has them: one who waits gives theirs.
                if not self._capacity.is_out_of_files(error):
                    raise
                if not self._make_room():
                    time.sleep(SOON_SECONDS)
                    return
                continue
            sender = Sender(sock, RequestReader(self.cfg, self.wsgi.max_body_bytes))
            self._capacity.enter(sender)
            self._wait_for(sender, State.SILENT, is_new=True)
            if self._capacity.is_full and not self._make_room():
                return

    def _make_room(self) -> bool:
        """End those who have been idle longest; False where all are at work."""
        ended = False
        since = {sender: sender.since for sender in self._waiting.copy().values()}
        for sender in self._capacity.to_be_ended(since):
            if self._take(sender):
                if sender.since == since[sender]:
                    self._close(sender)
                    ended = True
                else:
                    self._wait_for(sender, sender.state)
        return ended

    def _take(self, sender: Sender) -> bool:
        """Take one out of those that wait, if it still does: its number may be another's by now."""
        found = self._waiting.pop(sender.number, None)
        if found is not None and found is not sender:
            # What the kernel told of it meanwhile nobody has heard.
            self._wait_for(found, found.state)
        return found is sender

    def _finish(self) -> None:
        """Give what is in hand its time; a kept connection may be about to send a last request."""
        for listener in self.sockets:
            listener.setblocking(False)
            self.accept(listener)
        self.set_accept_enabled(False)
        for listener in self.sockets:
            listener.close()
        now = time.monotonic()
        last, quiet = now + self.cfg.graceful_timeout, now + gthread.STOP_KEEPALIVE_LINGER
        while self._capacity.count and time.monotonic() < last:
            self.notify()
            self._end_overdue(is_quiet=time.monotonic() > quiet)
            # gunicorn wants to be notified meanwhile, so this cannot wait for the threads alone.
            time.sleep(SOON_SECONDS)

    def _patience(self) -> float:
        """Return how long nothing can be overdue."""
        now = time.monotonic()
        oldest = min((job.arrived for job in self._owed.copy().values()), default=now)
        return min(max(oldest + LAST_SECONDS - now, 0.01), LOOK_SECONDS)

    def _end_overdue(self, *, is_quiet: bool = False) -> None:
        """Answer and end what takes too long; `is_quiet`: end what is idle, too."""
        now = time.monotonic()
        for sender, job in self._owed.copy().items():
            is_late = now >= job.arrived + LAST_SECONDS
            if is_late and self._owed.pop(sender, None) is not None:
                fields: Fields = {**job.fields, "error": "nobody came to an end with it in time"}
                self._turn_away(sender, job.request, 503, fields, job.arrived)
        if now < self._next_look and not is_quiet:
            return
        self._next_look = now + LOOK_SECONDS / 2
        for sender in self._waiting.copy().values():
            if not (
                sender.is_overdue(now, self._allowed, is_quiet=is_quiet) and self._take(sender)
            ):
                continue
            # Only now it is nobody else's: what was seen of it may have been half of a change.
            if not sender.is_overdue(now, self._allowed, is_quiet=is_quiet):
                self._wait_for(sender, sender.state)
            elif sender.state is State.UNFINISHED:
                self._refuse(sender, Refused(HTTPStatus.BAD_REQUEST, "sent too slowly"))
            else:
                self._close(sender)

    def _wait_for(self, sender: Sender, state: State, *, is_new: bool = False) -> None:
        sender.become(state)
        number = sender.number
        self._waiting[number] = sender
        change = self._ready.register if is_new else self._ready.modify
        with suppress(OSError):  # the main thread may have closed it already
            change(number, select.EPOLLIN | select.EPOLLONESHOT)

    def _close(self, sender: Sender) -> None:
        self._capacity.leave(sender)
        sender.close()

    def _serve(self) -> None:
        """Serve one request after the other, whichever connection it comes from: one thread."""
        while True:
            self._serve_ready(-1)

    def _stand_by(self) -> None:
        """Serve while all others are at work and none comes to an end: one thread."""
        turns = -1
        while True:
            is_long = self._queue.waiting > MOST_IN_A_ROW
            if self._queue.is_full and (is_long or self._queue.turns == turns):
                self._serve_ready(SOON_SECONDS)
            else:
                turns = self._queue.turns
                time.sleep(STAND_BY_SECONDS)

    def _serve_ready(self, seconds: float) -> None:
        for number, _ in self._ready.poll(seconds, 1):
            sender = self._waiting.pop(number, None)
            if sender is not None:
                try:
                    self._serve_sender(sender)
                except Exception:
                    # The one catch-all of a thread, which would end with it and never be replaced.
                    self.log.exception("Error on a connection")
                    self._close(sender)

    def _serve_sender(self, sender: Sender) -> None:
        try:
            if sender.state is State.LEAVING:
                if sender.throw_away():
                    self._wait_for(sender, State.LEAVING)
                else:
                    self._close(sender)
            elif self._receive(sender) and self._advance(sender, is_at_work=False):
                self._work()
        except OSError:
            self._close(sender)

    def _receive(self, sender: Sender) -> bool:
        """Take in what is there; whether anything is. Raises OSError."""
        came = sender.receive()
        if came:
            return True
        if came is None:
            # What the kernel told of was an earlier connection of this number.
            self._wait_for(sender, sender.state)
        elif sender.state is State.UNFINISHED:
            self._refuse(sender, Refused(HTTPStatus.BAD_REQUEST, "broke off"))
        else:
            self._close(sender)
        return False

    def _advance(self, sender: Sender, *, is_at_work: bool) -> bool:
        """Answer what is whole, and wait for the rest; whether the caller is to work now."""
        in_a_row = 0
        try:
            while (request := sender.reader.whole()) is not None:
                in_a_row += 1
                if in_a_row == MOST_IN_A_ROW:
                    request = request._replace(is_last=True)
                job = Job(sender, request, sender.arrived)
                if not self._take_on(job):
                    if job.event is None:
                        return False
                    if not is_at_work:
                        return self._queue.put(job)
                    self._queue.add(job)
                    return False
        except Refused as refused:
            self._refuse(sender, refused)
            return False
        self._wait_for_more(sender)
        return False

    def _wait_for_more(self, sender: Sender) -> None:
        reader = sender.reader
        if not len(reader):
            if sender.held:
                self._capacity.holds(sender)
            self._wait_for(sender, State.KEPT)
            return
        if reader.awaits_word:
            reader.awaits_word = False
            sender.send(GO_ON)
        if self._capacity.holds(sender) or self._make_bytes_free(sender):
            self._wait_for(sender, State.UNFINISHED)
        else:
            fields: Fields = {"error": "too much is held for others"}
            self._turn_away(sender, None, 503, fields, time.monotonic())

    def _make_bytes_free(self, sender: Sender) -> bool:
        """End those who have been sending longest until there is room for what this one sent."""
        others = [one for one in self._waiting.copy().values() if one.held]
        for other in sorted(others, key=lambda one: one.since):
            if self._take(other):
                if other.held:
                    self._refuse(other, Refused(HTTPStatus.BAD_REQUEST, "too slow for its size"))
                else:
                    self._wait_for(other, other.state)
            if self._capacity.holds(sender):
                return True
        return False

    def _take_on(self, job: Job) -> bool:
        """Answer what can be answered at once; True where the sender may have sent another."""
        request, app = job.request, self.wsgi
        if request.path == "/webhook" and request.method == "POST":
            try:
                job.event = app.receiver.read(request.body, request.signature, job.fields)
            except Exception as error:  # noqa: BLE001 - `refusal` is the one catch-all
                return self._answer(job, refusal(job.fields, error))
            self._owed[job.sender] = job
            return False
        if request.path == "/readyz" and request.method in {"GET", "HEAD"}:
            self._owed[job.sender] = job
            self._checks.put(job)
            return False
        return self._answer(job, app.answer_plainly(request.method, request.path, job.fields))

    def _work(self) -> None:
        """Work on events until there are none."""
        while (job := self._queue.take()) is not None:
            if job.sender not in self._owed:
                continue
            deadline = job.arrived + ANSWER_SECONDS
            answer = self.wsgi.answer_event(job.event, job.request.body, deadline, job.fields)
            if self._owed.pop(job.sender, None) is not None:
                self._end_job(job, answer)

    def _end_job(self, job: Job, answer: Answer) -> None:
        try:
            if self._answer(job, answer):
                self._advance(job.sender, is_at_work=True)
        except OSError:
            self._close(job.sender)
        except Exception:
            self.log.exception("Error on a connection")
            self._close(job.sender)

    def _check(self) -> None:
        """Answer /readyz, all who ask meanwhile together: one thread."""
        while True:
            jobs = [self._checks.get()]
            with suppress(queue.Empty):
                while True:
                    jobs.append(self._checks.get_nowait())
            fields: Fields = {}
            answer = self.wsgi.answer_plainly("GET", "/readyz", fields)
            for job in jobs:
                job.fields.update(fields)
                if self._owed.pop(job.sender, None) is not None:
                    # This thread is not to work on what else its sender may have sent.
                    job.request = job.request._replace(
                        is_last=job.request.is_last or len(job.sender.reader) > 0
                    )
                    self._end_job(job, answer)

    def _answer(self, job: Job, answer: Answer) -> bool:
        """Send and log an answer; whether the connection is kept. Raises OSError."""
        request = job.request
        is_last = request.is_last or not self.alive
        data = written(answer, is_last=is_last, is_head=request.method == "HEAD")
        try:
            is_kept = job.sender.send(data) and not is_last
        finally:
            seconds = time.monotonic() - job.arrived
            self.log.request(
                request.method or None, request.path or None, answer[0], seconds, job.fields
            )
        if not is_kept:
            self._let_go(job.sender)
        return is_kept

    def _refuse(self, sender: Sender, refused: Refused) -> None:
        """Answer what is no whole request, and end the connection."""
        method, path = sender.reader.method, sender.reader.path
        request = Request(method or "", path or "", "", None, b"", True)
        self._turn_away(sender, request, refused.status, {"error": refused.reason}, sender.since)

    def _turn_away(
        self, sender: Sender, request: Request | None, status: int, fields: Fields, arrived: float
    ) -> None:
        request = request or Request("", "", "", None, b"", True)
        job = Job(sender, request._replace(is_last=True), arrived)
        job.fields = fields
        try:
            self._answer(job, turned_away(status))
        except OSError:
            self._close(sender)

    def _let_go(self, sender: Sender) -> None:
        """Let a sender read its last answer before the connection ends.

        Were it closed while more comes, the kernel would reset it, and a sender of 100 MB would
        never see its 413.
        """
        sender.reader = RequestReader(self.cfg, 0)
        self._capacity.holds(sender)
        try:
            sender.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(sender)
        else:
            self._wait_for(sender, State.LEAVING)
