"""May a task that did not end well be started again? The rules of --retries and --requeue, for all engines."""

from __future__ import annotations

import signal
from collections import Counter

from spk.jobs.job import Job

STOPPED_STATUS = 128 + signal.SIGTERM
# A task is not requeued for ever: so often at most, and so often when nobody was seen to tell it to stop.
MOST_REQUEUES = 50
MOST_UNASKED = 10


class Attempts:
    """How often each task of a job was started again."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.retried: Counter[int] = Counter()
        self.requeued: Counter[int] = Counter()
        self.unasked: Counter[int] = Counter()

    def again(self, task: int, stopped: bool, asked: bool = False) -> str:
        """Count one more attempt: 'requeue 2' or 'retry 1 of 3', or '' where there is none left.

        stopped: the task ended because it was to stop (status 143, a time limit); asked: by the queue, as it says.
        """
        if self.job.requeue and stopped:
            self.unasked[task] += not asked
            if self.requeued[task] < MOST_REQUEUES and self.unasked[task] <= MOST_UNASKED:
                self.requeued[task] += 1
                return f"requeue {self.requeued[task]}"
        if self.retried[task] < self.job.retries:
            self.retried[task] += 1
            return f"retry {self.retried[task]} of {self.job.retries}"
        return ""

    def spent(self, task: int) -> str:
        """What to say of a task that failed after having been requeued."""
        times = self.requeued[task]
        return f" (requeued {times} times before, and not again)" if times else ""
