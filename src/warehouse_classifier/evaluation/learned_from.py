"""What networks learned from, as a folder of models says it and everything that is said by them repeats."""

from pydantic import BaseModel, ConfigDict, Field

DRAWN = "synthetic:"  # how the address of a bucket of drawings begins


class LearnedFrom(BaseModel):
    """The images that the networks learned from."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    bucket: str = Field(min_length=1)  # as params.yaml has it
    images: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")  # of their index, which has each image's hash

    @property
    def drawn(self) -> bool:
        """Whether they were drawings."""
        return self.bucket.startswith(DRAWN)

    def __str__(self) -> str:
        return f"{self.images:,} {'drawn bins' if self.drawn else 'photos'} of {self.bucket}"
