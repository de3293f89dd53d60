"""The trained verifier, and how it is asked.

Of one photo heads read what its list should say, and how far a list is from that is weighed as evidence against it (evidence.py). Of
two photos of one bin, what they show differently is weighed as one direction, from fewer items to more: against a record that says
the opposite.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from warehouse_classifier.bins.sizes import ATTRIBUTES, VOLUME
from warehouse_classifier.evaluation.arrays import Features, Floats, Masks
from warehouse_classifier.evaluation.thresholds import Limits
from warehouse_classifier.verifier import evidence
from warehouse_classifier.verifier.evidence import Spread
from warehouse_classifier.verifier.heads import Heads

NUMBER = ATTRIBUTES.index("number")
NONE = Limits()  # nothing is a match, and nothing a mismatch


@dataclass(frozen=True)
class Verifier:
    """Photos are features, [photos, features], as evaluation/predictions.py has them; lists are attributes, see bins/sizes.py."""

    heads: Heads  # that read scaled attributes
    middle: Floats  # of the lists that were learned from, [attributes]
    spread: Floats
    scatter: Spread
    weights: Floats  # of the evidence against a list, [evidence]
    bias: float
    direction: Floats  # in which features go when items are put in, [features]
    most: int  # items of a list that can be judged
    counted: tuple[int, int]  # the least and the most items that the networks tell apart
    of_list: Limits = NONE  # of doubts of a list that holds as many, by one photo
    of_record: Limits = NONE  # of doubts of a record of two such lists, by two photos
    other_list: Limits = NONE  # the same of lists of other numbers
    other_record: Limits = NONE
    volume_low: float = 0.0  # how far the scaled volume lies above its reading, from here
    volume_high: float = 0.0  # to there, in the share learning.COVERAGE of all bins

    def doubts(self, features: Features, lists: Floats) -> Floats:
        """The probability that each photo's list does not fit where as many do as do not, [photos]."""
        return self.doubts_of_readings(self.heads.read(features), self.scaled(lists))

    def doubts_of_readings(self, readings: Floats, lists: Floats) -> Floats:
        """The same by what heads read, and by scaled lists."""
        return np.asarray(expit(evidence.against(self.scatter, readings, lists) @ self.weights + self.bias))

    def doubts_of_change(self, before: Features, after: Features, first: Floats, second: Floats) -> Floats:
        """The probability that the opposite of a record happened, where as many records are right as wrong, [visits].

        `before`, `after`: features of two photos of one bin; `first`, `second`: the lists before and after, as the record has them.
        """
        return np.asarray(expit(-recorded(first, second) * ((after - before) @ self.direction)))

    def verdicts_of_visit(
        self, before: Features, after: Features, first: Floats, second: Floats
    ) -> npt.NDArray[np.str_]:
        """What is said of each record and the list that it ends with, [visits]: two photos are the stronger evidence, so the record
        decides, but for a list that is a mismatch by itself. Where the record says nothing, the list does."""
        by_list = self.verdicts(self.doubts(after, second), second)
        by_list = np.where(np.isnan(second[:, VOLUME]), "look", by_list)  # of a number alone a counter knows more
        doubts = self.doubts_of_change(before, after, first, second)
        among = self.among_counted(first) & self.among_counted(second)
        by_record = np.where(among, self.of_record.judge(doubts), self.other_record.judge(doubts))
        together = np.where(by_list == "mismatch", np.where(by_record == "match", "look", "mismatch"), by_record)
        return np.where(recorded(first, second) == 0, by_list, together)

    def verdicts(self, doubts: Floats, lists: Floats) -> npt.NDArray[np.str_]:
        """What the doubt of each list comes to, [lists]."""
        return np.where(self.among_counted(lists), self.of_list.judge(doubts), self.other_list.judge(doubts))

    def among_counted(self, lists: Floats) -> Masks:
        """Which lists hold a number of items that the networks tell apart, [lists]."""
        held, (first, last) = np.rint(np.expm1(lists[:, NUMBER])), self.counted
        return np.asarray((first <= held) & (held <= last))

    def volumes_read(self, features: Features) -> Floats:
        """The logarithm of the total volume that each photo shows, in cubic inches, [photos]."""
        return np.asarray(self.heads.read(features)[:, VOLUME] * self.spread[VOLUME] + self.middle[VOLUME])

    def volumes(self, features: Features) -> Floats:
        """From where to where the total volume of what each photo shows lies, cubic inches, [photos, 2], at learning.COVERAGE."""
        beside = np.array([self.volume_low, self.volume_high]) * self.spread[VOLUME]
        return np.asarray(np.exp(self.volumes_read(features)[:, None] + beside))

    def scaled(self, lists: Floats) -> Floats:
        """Lists as heads read them."""
        return (lists - self.middle) / self.spread


def recorded(first: Floats, second: Floats) -> Floats:
    """1 for each record that says that items were put in, -1 for taken out, [records]; where the number stays what it was, by
    the total volume, and 0 where that does or is not known."""
    number = np.sign(second[:, NUMBER] - first[:, NUMBER])
    return np.where(number == 0, np.nan_to_num(np.sign(second[:, VOLUME] - first[:, VOLUME])), number)
