"""How an endpoint is asked, and what it may cost."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["EndpointSettings", "Scoring"]

Scoring = Literal["auto", "logprobs", "samples"]


class EndpointSettings(BaseModel):
    """Options of an endpoint; a key is never one of them, only the name of the variable that holds it.

    Prices are in any one currency; so is the budget of money.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(
        None, description="The server's name of the model; not needed where the server has one model."
    )
    scoring: Scoring = Field(
        "auto",
        description="`logprobs` of the answer's tokens, the share of `samples`, or the first that the server "
        "gives.",
    )
    samples: int = Field(5, ge=1, le=100, description="Answers sampled a text where there are no logprobs.")
    concurrency: int = Field(8, ge=1, le=1024, description="Requests under way at once.")
    requests_per_minute: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Start no more requests than this."
    )
    timeout: float = Field(60.0, gt=0, allow_inf_nan=False, description="Seconds for one answer.")
    retries: int = Field(6, ge=0, le=100, description="Further tries after a fault that may pass.")
    key_variable: str = Field(
        "QDLLM_API_KEY",
        min_length=1,
        description="Environment variable that holds the key, where one is set.",
    )
    budget_tokens: int | None = Field(None, gt=0, description="Tokens that are never passed, of both kinds.")
    budget: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Money that is never passed; needs prices."
    )
    price_in: float = Field(0.0, ge=0, allow_inf_nan=False, description="Price of a million prompt tokens.")
    price_out: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Price of a million answered tokens."
    )

    @model_validator(mode="after")
    def _money_has_a_price(self) -> Self:
        if self.budget is not None and not self.price_in + self.price_out:
            raise ValueError("a budget of money needs price_in and price_out, per million tokens")
        return self
