"""Do a photo and the expected quantity disagree? The expectations that photos are asked with, and how well doubts tell."""
