"""The splits that bins are in, by name."""

SPLITS = ("train", "validation", "test")
# bins of other quantities, on the side where their groups are: what they look like is learned, and not their number
OTHERS = {"train": "train_other", "validation": "validation_other"}
OUTSIDE = "outside"  # bins of a quantity that the networks do not tell apart, photographed like all others
