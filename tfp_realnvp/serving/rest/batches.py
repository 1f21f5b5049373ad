"""Concurrent requests of one signature, computed together.

While one batch is computed, requests wait; then all that wait go together, up to a number of rows.
So a request alone never waits for others. Where a batch is refused, its halves are computed, and so
on: what is wrong with one request is no matter to the others.

A request with one seed for all of its rows goes together with others by a signature that has one
for each row, see `serving.signatures`.
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
        self._together = loaded.together(signature)
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
        if count is not None and count.ndim == 0:
            rows = int(count)
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
        try:
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
        finally:
            self._worker = None

    def _next(self) -> list[_Job]:
        """Takes requests that go together from the queue, at least one where there is one."""
        jobs: list[_Job] = []
        rows = 0
        while self._waiting:
            job = self._waiting[0]
            if not job.result.done():
                rows += job.rows
                if jobs and (self._together is None or rows > self._limits.max_batch_size):
                    break
                jobs.append(job)
            self._waiting.popleft()
        return jobs

    def _compute(self, jobs: list[_Job]) -> list[Arrays | Exception]:
        if len(jobs) == 1:
            return [self._alone(jobs[0])]
        results = self._merged(jobs)
        if results is None:  # one is at fault: the half without it goes together again
            half = len(jobs) // 2
            return [*self._compute(jobs[:half]), *self._compute(jobs[half:])]
        ends = np.cumsum([job.rows for job in jobs])[:-1]
        parts = {key: np.split(value, ends) for key, value in results.items()}
        return [{key: parts[key][i] for key in parts} for i in range(len(jobs))]

    def _alone(self, job: _Job) -> Arrays | Exception:
        try:
            return self._loaded.run(self._signature, job.inputs)
        except Exception as error:
            return error

    def _merged(self, jobs: list[_Job]) -> Arrays | None:
        """Returns the results of all rows of some requests; None where they can't be had so."""
        assert self._together is not None
        inputs = [self._by_rows(job) for job in jobs]
        pairs = zip(jobs, inputs, strict=True)
        if any(len(value) != job.rows for job, own in pairs for value in own.values()):
            return None  # such as labels of another number
        merged = {key: np.concatenate([own[key] for own in inputs]) for key in inputs[0]}
        try:
            results = self._loaded.run(self._together, merged)
        except Refusal:
            return None
        total = sum(job.rows for job in jobs)
        # Of no flow, but of another's model, results may have other rows.
        return results if all(len(value) == total for value in results.values()) else None

    def _by_rows(self, job: _Job) -> Arrays:
        """Returns inputs with one row for each example; what is one for all of them is repeated."""
        assert self._together is not None
        given = {"row": np.arange(job.rows, dtype="int32"), **job.inputs}
        count = max(job.rows, 0)  # a number of samples below 0 is refused by the graph
        return {
            key: given[key]
            if given[key].ndim == spec.shape.rank
            else np.repeat(given[key][None], count, axis=0)
            for key, spec in self._loaded.specs(self._together).items()
        }
