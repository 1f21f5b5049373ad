"""Concurrent requests of one signature, computed together.

While one batch is computed, requests wait; then all that wait go together, up to a number of rows.
So a request alone never waits for others. Where a batch is refused, each of its requests is
computed by itself: what is wrong with one is no matter to the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np

from tfp_realnvp.serving.rest.limits import Limits
from tfp_realnvp.serving.rest.loaded import Arrays, Loaded
from tfp_realnvp.serving.rest.refusal import Refusal


class _Job(NamedTuple):
    inputs: Arrays
    rows: int
    result: asyncio.Future[Arrays]


class Batches:
    """The requests of one signature of a version.

    Args:
        loaded: the version.
        signature: the name.
        limits: how many rows go together, and how many requests wait.
        pool: where batches are computed.
        observe: told the rows of every batch.
    """

    def __init__(
        self,
        loaded: Loaded,
        signature: str,
        *,
        limits: Limits,
        pool: Executor,
        observe: Callable[[int], object] = lambda rows: None,
    ):
        self._loaded = loaded
        self._signature = signature
        self._merges = loaded.merges(signature)
        self._limits = limits
        self._pool = pool
        self._observe = observe
        self._waiting: deque[_Job] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def run(self, inputs: Arrays) -> Arrays:
        """Returns a request's results, once its turn has come.

        Raises:
            Refusal: the inputs are refused, or too many requests wait.
        """
        rows = self._loaded.check(self._signature, inputs)
        if rows > self._limits.max_rows:
            raise Refusal(
                f"A request has at most {self._limits.max_rows} examples, this has {rows}."
            )
        count = inputs.get("num_samples")
        if count is not None and np.any(count > self._limits.max_num_samples):
            raise Refusal(
                f"num_samples is at most {self._limits.max_num_samples} here, got {count}."
            )
        if len(self._waiting) >= self._limits.max_queue:
            raise Refusal(
                "The batch scheduling queue to which this task was submitted is full", "UNAVAILABLE"
            )
        job = _Job(inputs, rows, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await job.result

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while jobs := self._next():
            self._observe(sum(job.rows for job in jobs))
            try:
                outcomes = await loop.run_in_executor(self._pool, self._compute, jobs)
            except Exception as error:  # every request is to be answered
                outcomes = [error for _ in jobs]
            for job, outcome in zip(jobs, outcomes, strict=True):
                if job.result.done():  # its time was over
                    continue
                if isinstance(outcome, Exception):
                    job.result.set_exception(outcome)
                else:
                    job.result.set_result(outcome)
        self._worker = None

    def _next(self) -> list[_Job]:
        """Takes requests that go together from the queue, at least one where there is one."""
        jobs: list[_Job] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            if not job.result.done():
                rows += job.rows
                if jobs and (not self._merges or rows > self._limits.max_batch_size):
                    break
                jobs.append(job)
            self._waiting.popleft()
        return jobs

    def _compute(self, jobs: list[_Job]) -> list[Arrays | Exception]:
        even = (len(v) == job.rows for job in jobs for v in job.inputs.values())
        if len(jobs) == 1 or not all(even):  # such as labels of another number
            return [self._alone(job) for job in jobs]
        merged = {key: np.concatenate([job.inputs[key] for job in jobs]) for key in jobs[0].inputs}
        try:
            results = self._loaded.run(self._signature, merged)
        except Refusal:
            return [self._alone(job) for job in jobs]
        *ends, total = np.cumsum([job.rows for job in jobs])
        if any(len(value) != total for value in results.values()):  # no flow's, but another's
            return [self._alone(job) for job in jobs]
        parts = {key: np.split(value, ends) for key, value in results.items()}
        return [{key: parts[key][i] for key in parts} for i in range(len(jobs))]

    def _alone(self, job: _Job) -> Arrays | Exception:
        try:
            return self._loaded.run(self._signature, job.inputs)
        except Exception as error:
            return error
