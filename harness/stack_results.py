"""What came out of testing one handler under every serving stack."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.records import Outcome, Record, Saved, Text
from harness.results import InferenceTestResult
from harness.specs import Stack
from harness.summaries import ResponseSummary

Part = Literal["outcome", "status", "content_type", "body"]


class StackAnswer(Record):
    """One answer, and the stacks that give it."""

    stacks: list[Stack] = Field(description="The stacks, in the order in which they were tested")
    outcome: Outcome = Field(description="How the request ended on them")
    failed_function: Text | None = Field(default=None, description="The function to blame")
    error_message: Text | None = Field(default=None, description="What went wrong, to what")
    response: ResponseSummary = Field(description="What a client gets; of the first of the stacks")


class StackDifference(Record):
    """One request that the stacks do not answer alike."""

    sample_name: Text = Field(description="The sample")
    accept_type: Text | None = Field(description="Accept of the request; None: not sent")
    parts: list[Part] = Field(description="In what the answers differ")
    answers: list[StackAnswer] = Field(description="The different answers")


class StackComparison(Saved):
    """One handler under each serving stack, and what differs between them."""

    handler_name: Text = Field(description="The handler")
    overall_success: bool = Field(description="Whether it passed under every stack")
    differences: list[StackDifference] = Field(description="The requests answered differently")
    results: dict[Stack, InferenceTestResult] = Field(description="The whole result by stack")
